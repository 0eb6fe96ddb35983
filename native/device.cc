// Raw /dev/fuse: requests in, replies out (straight from the mapping where they carry data), ioctls. Raw Node-API.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "arguments.h"
#include "bindings.h"
#include "event_loop.h"
#include "image.h"
#include "prefetch.h"

#ifndef EHWPOISON
#define EHWPOISON 133
#endif

namespace nvmfs {

namespace {

// linux/fuse.h of the build machine may be older than the running kernel: the few structures needed are spelled out.
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long kCloneDevice = _IOR(229, 0, uint32_t);
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

constexpr size_t kMaxRanges = 1000;
constexpr int kMaxVectors = 1024;
constexpr size_t kZeroBytes = size_t{1} << 20;


// The outcome of one non-blocking read: a length, or 0 when nothing is waiting, or a negative errno.
int read_request(int fd, const Bytes& buffer) {
  for (;;) {
    const ssize_t length = read(fd, buffer.data, buffer.length);
    if (length > 0) return static_cast<int>(length);
    if (length == 0) return -EIO;  // the device has no end of file
    // ENOENT: the request was interrupted between its waking us and our reading it.
    if (errno == EINTR || errno == ENOENT) continue;
    return errno == EAGAIN ? 0 : -errno;
  }
}

// Whether it pays to ask again for some microseconds before going to sleep. A request that comes while we spin is served
// without the price of a wake-up, which is half of a small request's time; but when client and server share a core, or
// requests are rare, spinning only takes time away from the client. So a spin in vain makes the next ones rarer.
class AdaptiveSpin {
 public:
  // Bytes went to or came from the client: it has more to do before it asks again, and the next request is as large.
  void moved(size_t bytes) { moved_ = std::max(moved_, bytes); }

  // Asks again for `spin_us` microseconds, and as many more for every 256 KiB that were moved, if the last spins were worth it.
  int read(int fd, const Bytes& buffer, int32_t spin_us) {
    const auto pieces = static_cast<int64_t>(moved_ / kPiece);
    moved_ = 0;
    int result = read_request(fd, buffer);
    if (result != 0 || spin_us <= 0) return result;
    if (skip_ > 0) {
      skip_ -= 1;
      return 0;
    }
    const int64_t end_ns = monotonic_ns() + int64_t{spin_us} * 1000 * (1 + pieces);
    do {
      result = read_request(fd, buffer);
    } while (result == 0 && monotonic_ns() < end_ns);
    backoff_ = result != 0 ? 0 : backoff_ == 0 ? kFirstBackoff : std::min(backoff_ * 2, kLastBackoff);
    skip_ = backoff_;
    return result;
  }

 private:
  static constexpr size_t kPiece = size_t{256} << 10;
  static constexpr int kFirstBackoff = 4;
  static constexpr int kLastBackoff = 256;
  size_t moved_ = 0;
  int backoff_ = 0;
  int skip_ = 0;
};

// One per environment (thread): the loop is the environment's own.
struct Receiver {
  EventLoop loop;
  AdaptiveSpin spin;
};

int receive_request(Receiver& receiver, int fd, const Bytes& buffer, int32_t timeout_ms, int32_t spin_us) {
  EventLoop& loop = receiver.loop;
  if (loop.overdue()) return 0;
  int result = receiver.spin.read(fd, buffer, spin_us);
  while (result == 0) {
    int sleep_ms = timeout_ms;
    if (sleep_ms == 0 || !loop.may_sleep(sleep_ms)) return 0;
    pollfd waiting[2] = {{fd, POLLIN, 0}, {loop.descriptor(), POLLIN, 0}};
    const int ready = poll(waiting, 2, sleep_ms);
    if (ready < 0) {
      // A signal: node's handler has written it to a pipe of the loop.
      if (errno == EINTR) return loop.will_run(), 0;
      return -errno;
    }
    if (waiting[0].revents == 0) {
      loop.will_run();  // its events, its timer, or the time is over
      return 0;
    }
    result = read_request(fd, buffer);
    // Another thread on a clone of the device took the request.
    if (result == 0) return 0;
  }
  if (result > 0) receiver.spin.moved(static_cast<size_t>(result));
  return result;
}

// receive(fd, buffer, timeoutMs, spinMicroseconds)
napi_value receive(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  void* data = nullptr;
  int32_t fd, timeout_ms, spin_us;
  Bytes buffer;
  if (!arguments.get(0, fd) || !arguments.get(1, buffer) || !arguments.get(2, timeout_ms) ||
      !arguments.get(3, spin_us) || napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) {
    throw_bad_arguments(env, "receive");
    return nullptr;
  }
  Receiver& receiver = *static_cast<Receiver*>(data);
  if (!receiver.loop.attach(env)) {
    throw_error(env, {ENOSYS, "this Node has no libuv event loop that receive() understands"});
    return nullptr;
  }
  return int32_value(env, receive_request(receiver, fd, buffer, timeout_ms, spin_us));
}

// reply(fd, buffer, offset, length)
napi_value reply(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  int32_t fd;
  Bytes buffer;
  uint64_t offset, length;
  if (!arguments.get(0, fd) || !arguments.get(1, buffer) || !arguments.get(2, offset) || !arguments.get(3, length) ||
      !buffer.contains(offset, length)) {
    throw_bad_arguments(env, "reply");
    return nullptr;
  }
  const ssize_t written = write(fd, buffer.data + offset, length);
  return int32_value(env, written < 0 ? -errno : static_cast<size_t>(written) == length ? 0 : -EIO);
}

// The pages behind ranges without data; reading them costs page tables only.
const uint8_t* zero_pages() {
  static void* const pages = mmap(nullptr, kZeroBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<const uint8_t*>(pages);
}

// The vectors of one writev; neighbours in memory become one.
class Gather {
 public:
  bool add(const uint8_t* data, uint64_t length) {
    if (count_ > 0 && static_cast<uint8_t*>(vectors_[count_ - 1].iov_base) + vectors_[count_ - 1].iov_len == data) {
      vectors_[count_ - 1].iov_len += length;
      total_ += length;
      return true;
    }
    if (count_ == kMaxVectors) return false;
    vectors_[count_].iov_base = const_cast<uint8_t*>(data);
    vectors_[count_].iov_len = length;
    count_++;
    total_ += length;
    return true;
  }

  bool add_zeros(uint64_t length) {
    const uint8_t* zeros = zero_pages();
    while (zeros != nullptr && length > 0) {
      const uint64_t part = length < kZeroBytes ? length : kZeroBytes;
      if (!add(zeros, part)) return false;
      length -= part;
    }
    return zeros != nullptr;
  }

  // Refuses more pieces than windows are mapped at a time, as each may be in another one: the first would be gone when
  // the last is there.
  bool add_mapped(Image& image, uint64_t address, uint64_t length) {
    while (length > 0) {
      uint64_t part = 0;
      const uint8_t* data = image.at(address, &part);
      if (data == nullptr || (!image.keeps_windows() && ++pieces_ > image.window_limit())) return false;
      if (part > length) part = length;
      prefetch(data, part);
      if (!add(data, part)) return false;
      address += part;
      length -= part;
    }
    return true;
  }

  size_t bytes() const { return total_; }

  int write_to(int fd) const {
    const ssize_t written = writev(fd, vectors_, count_);
    if (written >= 0) return static_cast<uint64_t>(written) == total_ ? 0 : -EIO;
    return errno == EFAULT || errno == EHWPOISON ? -EIO : -errno;
  }

 private:
  iovec vectors_[kMaxVectors];
  int count_ = 0;
  uint32_t pieces_ = 0;
  uint64_t total_ = 0;
};

// replyMapped(fd, image, header, headerOffset, headerLength, addresses, lengths, count)
napi_value reply_mapped(napi_env env, napi_callback_info info) {
  const Arguments<8> arguments(env, info);
  int32_t fd;
  Image* image;
  Bytes header;
  uint64_t header_offset, header_length, count;
  const double* addresses;
  const double* lengths;
  size_t address_count, length_count;
  void* data = nullptr;
  if (!arguments.get(0, fd) || !arguments.get(1, image) || !arguments.get(2, header) ||
      !arguments.get(3, header_offset) || !arguments.get(4, header_length) ||
      !arguments.get(5, addresses, address_count) || !arguments.get(6, lengths, length_count) ||
      !arguments.get(7, count) || !header.contains(header_offset, header_length) || count > kMaxRanges ||
      count > address_count || count > length_count || !image->is_open() ||
      napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) {
    throw_bad_arguments(env, "replyMapped");
    return nullptr;
  }
  Gather gather;
  gather.add(header.data + header_offset, header_length);
  for (size_t i = 0; i < count; i++) {
    const double address = addresses[i];
    const double length = lengths[i];
    const bool zeros = address == -1;
    if (!(length >= 0 && length <= 9007199254740992.0) || !(zeros || (address >= 0 && address <= 9007199254740992.0)) ||
        (!zeros && !image->contains(static_cast<uint64_t>(address), static_cast<uint64_t>(length)))) {
      throw_bad_arguments(env, "replyMapped");
      return nullptr;
    }
    const bool added = zeros ? gather.add_zeros(static_cast<uint64_t>(length))
                             : gather.add_mapped(*image, static_cast<uint64_t>(address), static_cast<uint64_t>(length));
    if (!added) return int32_value(env, -EIO);
  }
  static_cast<Receiver*>(data)->spin.moved(gather.bytes());
  return int32_value(env, gather.write_to(fd));
}

// backingOpen(fuseFd, fd): the id of a passthrough backing file, or -errno.
napi_value backing_open(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  BackingMap map = {-1, 0, 0};
  int32_t fuse;
  if (!arguments.get(0, fuse) || !arguments.get(1, map.fd)) {
    throw_bad_arguments(env, "backingOpen");
    return nullptr;
  }
  const int id = ioctl(fuse, kBackingOpen, &map);
  return int32_value(env, id < 0 ? -errno : id);
}

// backingClose(fuseFd, id): 0 or -errno.
napi_value backing_close(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  int32_t fuse, id;
  if (!arguments.get(0, fuse) || !arguments.get(1, id)) {
    throw_bad_arguments(env, "backingClose");
    return nullptr;
  }
  uint32_t backing = static_cast<uint32_t>(id);
  return int32_value(env, ioctl(fuse, kBackingClose, &backing) < 0 ? -errno : 0);
}

// cloneDevice(fd): another descriptor for the same mount, with its own queue, or -errno.
napi_value clone_device(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  int32_t fd;
  if (!arguments.get(0, fd)) {
    throw_bad_arguments(env, "cloneDevice");
    return nullptr;
  }
  const int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (clone < 0) return int32_value(env, -errno);
  uint32_t source = static_cast<uint32_t>(fd);
  if (ioctl(clone, kCloneDevice, &source) == 0) return int32_value(env, clone);
  const int error = errno;
  close(clone);
  return int32_value(env, -error);
}

// syslog(priority, message): priority as in syslog(3), 0 (emergency) to 7 (debug).
napi_value write_syslog(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  int32_t priority;
  size_t length = 0;
  if (!arguments.get(0, priority) || priority < 0 || priority > 7 ||
      napi_get_value_string_utf8(env, arguments.value[1], nullptr, 0, &length) != napi_ok) {
    throw_bad_arguments(env, "syslog");
    return nullptr;
  }
  std::string message(length + 1, '\0');
  napi_get_value_string_utf8(env, arguments.value[1], message.data(), message.size(), &length);
  static const bool opened = (openlog("nvmfs", LOG_PID, LOG_DAEMON), true);
  if (opened) syslog(priority, "%s", message.c_str());
  return nullptr;
}

}  // namespace

void define_device(Napi::Env env, Napi::Object exports) {
  auto* receiver = new Receiver;
  env.AddCleanupHook([receiver] { delete receiver; });
  napi_value function = nullptr;
  napi_create_function(env, "receive", NAPI_AUTO_LENGTH, receive, receiver, &function);
  exports.Set("receive", Napi::Value(env, function));
  napi_create_function(env, "replyMapped", NAPI_AUTO_LENGTH, reply_mapped, receiver, &function);
  exports.Set("replyMapped", Napi::Value(env, function));
  define(env, exports, "reply", reply);
  define(env, exports, "backingOpen", backing_open);
  define(env, exports, "backingClose", backing_close);
  define(env, exports, "cloneDevice", clone_device);
  define(env, exports, "syslog", write_syslog);
}

}  // namespace nvmfs

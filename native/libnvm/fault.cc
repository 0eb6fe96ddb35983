#include "fault.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "place.h"
#include "raw.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

namespace nvm {

namespace {

enum class State { kUntried, kWorks, kRefused };
State state = State::kUntried;
int uffd = -1;
// Bytes that one fault fills: a power of two from 4 KiB to 2 MiB.
size_t batch = kHuge;

// One that also answers faults inside system calls. The device lets whom its mode lets; the system call wants a capability or vm.unprivileged_userfaultfd.
int open_userfaultfd() {
  const int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  int fd = -1;
  if (device >= 0) {
    fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC);
    close(device);
  }
  if (fd < 0) fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
  if (fd < 0) return -1;
  struct uffdio_api api = {};
  api.api = UFFD_API;
  if (ioctl(fd, UFFDIO_API, &api) == 0) return fd;
  close(fd);
  return -1;
}

void wake(uintptr_t start, uintptr_t end) {
  struct uffdio_range range = {start, end - start};
  ioctl(uffd, UFFDIO_WAKE, &range);
}

// Puts a page behind the address that a thread waits for, and its neighbours.
void answer(uintptr_t address) {
  Guard guard;
  const uintptr_t page = address / kPage * kPage;
  Mapping* mapping = find(page, page + kPage);
  uintptr_t start = page, end = page + kPage;
  if (mapping != nullptr && is_direct(*mapping) && !contains(mapping->placed, page)) {
    const uint64_t offset = mapping->offset + (page - mapping->start);
    const uintptr_t before = offset % batch, first = page - before;
    if (page - mapping->start > before) start = first;
    else start = mapping->start;
    end = first + batch < mapping->end ? first + batch : mapping->end;
    // Where the whole does not fit, perhaps the page does.
    if (place_filled(*mapping, start, end) != 0 && end - start > kPage) place_filled(*mapping, page, page + kPage);
    if (!contains(mapping->placed, page)) place_dead(*mapping, page, page + kPage);
  }
  wake(start, end);
}

void* serve(void* argument) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  for (;;) {
    struct uffd_msg message;
    const ssize_t length = read(fd, &message, sizeof message);
    if (length < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (length != static_cast<ssize_t>(sizeof message)) return nullptr;
    if (message.event == UFFD_EVENT_PAGEFAULT) answer(static_cast<uintptr_t>(message.arg.pagefault.address));
  }
}

bool start_thread() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, serve, reinterpret_cast<void*>(static_cast<intptr_t>(uffd)));
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error == 0;
}

void begin() {
  state = State::kRefused;
  uffd = open_userfaultfd();
  if (uffd < 0) return;
  if (start_thread()) {
    state = State::kWorks;
    return;
  }
  close(uffd);
  uffd = -1;
}

void read_batch() {
  const char* text = getenv("NVM_BATCH");
  if (text == nullptr) return;
  const unsigned long long bytes = strtoull(text, nullptr, 10);
  if (bytes >= kPage && bytes <= kHuge && (bytes & (bytes - 1)) == 0) batch = static_cast<size_t>(bytes);
}

// The child has the mappings, but nobody who answers its faults: its holes would be memory of its own. It gets its own descriptor and thread;
// where that fails, holes can't be touched.
void after_fork_in_child() {
  reinitialise_lock();
  if (state != State::kWorks) return;
  close(uffd);
  begin();
  for (size_t i = 0; i < mapping_count(); i++) {
    Mapping& mapping = *nvm::mapping(i);
    if (!is_direct(mapping)) continue;
    AddressRange gap;
    for (uintptr_t next = mapping.start; next_gap(mapping.placed, next, mapping.end, gap); next = gap.end) {
      AddressRange part;
      for (uintptr_t from = gap.start; next_gap(mapping.dead, from, gap.end, part); from = part.end) {
        if (state != State::kWorks || watch(part.start, part.end) != 0) raw_mprotect(at(part.start), part.end - part.start, PROT_NONE);
      }
    }
  }
}

}  // namespace

bool can_answer_faults() {
  if (state == State::kUntried) {
    read_batch();
    begin();
    if (state == State::kWorks) pthread_atfork(lock, unlock, after_fork_in_child);
  }
  return state == State::kWorks;
}

int watch(uintptr_t start, uintptr_t end) {
  struct uffdio_register registration = {};
  registration.range = {start, end - start};
  registration.mode = UFFDIO_REGISTER_MODE_MISSING;
  return ioctl(uffd, UFFDIO_REGISTER, &registration);
}

}  // namespace nvm

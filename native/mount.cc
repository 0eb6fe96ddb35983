#include "mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "process.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

namespace nvmfs {

namespace {

constexpr char kFusermount[] = "fusermount3";

struct MountFlag {
  const char* name;
  unsigned long set;
  unsigned long clear;
};

constexpr MountFlag kFlags[] = {
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"noatime", MS_NOATIME, MS_RELATIME | MS_STRICTATIME},
    {"atime", 0, MS_NOATIME},
    {"relatime", MS_RELATIME, MS_NOATIME | MS_STRICTATIME},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, MS_NOATIME | MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"lazytime", MS_LAZYTIME, 0},
    {"nolazytime", 0, MS_LAZYTIME},
};

bool collect_flags(const std::vector<std::string>& names, unsigned long& flags, SystemError& error) {
  for (const std::string& name : names) {
    const MountFlag* found = nullptr;
    for (const MountFlag& flag : kFlags) {
      if (name == flag.name) found = &flag;
    }
    if (found == nullptr) {
      error = {EINVAL, "unknown mount flag '" + name + "'"};
      return false;
    }
    flags = (flags & ~found->clear) | found->set;
  }
  return true;
}

// What is mounted as FUSE on the device number, as /proc/mounts names its source; empty if nothing is.
std::string fuse_source(const std::string& device) {
  FILE* file = fopen("/proc/self/mountinfo", "re");
  if (file == nullptr) return "";
  char* line = nullptr;
  size_t capacity = 0;
  std::string source;
  while (getline(&line, &capacity, file) > 0) {
    char number[32] = "", type[64] = "", name[256] = "";
    const char* rest = strstr(line, " - ");
    const bool parsed = rest != nullptr && sscanf(line, "%*s %*s %31s", number) == 1 &&
                        sscanf(rest, " - %63s %255s", type, name) == 2;
    if (parsed && device == number && strncmp(type, "fuse", 4) == 0) source = name;
  }
  free(line);
  fclose(file);
  return source;
}

// The mount point must be a directory that nobody serves by FUSE already (a mount of another kind may lie below).
// Nothing here may wait for an answer of a file system that is mounted there: its daemon may hang, or be this process.
bool check_directory(const std::string& directory, mode_t& mode, SystemError& error) {
  struct statx status;
  if (statx(AT_FDCWD, directory.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0) {
    error = errno == ENOENT ? SystemError{ENOENT, "mount point " + directory + " does not exist"}
                            : system_error(errno, "mount point " + directory);
    return false;
  }
  if (!S_ISDIR(status.stx_mode)) {
    error = {ENOTDIR, "mount point " + directory + " is not a directory"};
    return false;
  }
  const std::string source =
      fuse_source(std::to_string(status.stx_dev_major) + ":" + std::to_string(status.stx_dev_minor));
  if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 && !source.empty()) {
    error = {EBUSY, "mount point " + directory + " is busy: " + source +
                        " is mounted there (unmount it first, also if its daemon is gone)"};
    return false;
  }
  mode = status.stx_mode;
  return true;
}

std::string common_options(const MountOptions& options) {
  std::string text;
  if (options.allow_other) text += ",allow_other";
  if (options.default_permissions) text += ",default_permissions";
  if (options.max_read != 0) text += ",max_read=" + std::to_string(options.max_read);
  return text;
}

SystemError device_error(int number) {
  if (number == ENOENT || number == ENXIO || number == ENODEV) {
    return {number, "there is no /dev/fuse: the kernel's FUSE module is not loaded (modprobe fuse)"};
  }
  return system_error(number, "cannot open /dev/fuse");
}

SystemError mount_error(int number, const MountOptions& options) {
  const std::string what = "cannot mount " + options.source + " on " + options.directory;
  if (number == EPERM || number == EACCES) return {number, what + ": no permission (mount(2) needs CAP_SYS_ADMIN)"};
  if (number == ENODEV) return {number, what + ": the kernel has no FUSE file system (modprobe fuse)"};
  if (number == EBUSY) return {number, what + ": the mount point is busy"};
  return system_error(number, what);
}

int mount_as_root(const MountOptions& options, mode_t mode, SystemError& error) {
  unsigned long flags = 0;
  if (!collect_flags(options.flags, flags, error)) return -1;
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    error = device_error(errno);
    return -1;
  }
  char data[160];
  snprintf(data, sizeof data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u", fd, mode & S_IFMT, getuid(), getgid());
  const std::string all = data + common_options(options);
  const std::string type = "fuse." + options.subtype;
  if (mount(options.source.c_str(), options.directory.c_str(), type.c_str(), flags, all.c_str()) == 0) return fd;
  error = mount_error(errno, options);
  close(fd);
  return -1;
}

// fusermount3 splits its options at commas; a backslash protects one.
std::string escaped(const std::string& value) {
  std::string result;
  for (const char c : value) {
    if (c == ',' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

// Receives the descriptor that fusermount3 sends with one byte; -1 when it closed the socket without sending any.
int receive_descriptor(int socket) {
  char byte;
  iovec vector = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t length;
  do {
    length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  const cmsghdr* header = length > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

SystemError fusermount_error(const ProcessResult& result, const std::string& what) {
  if (result.start_errno == ENOENT) {
    return {ENOENT, what + ": an ordinary user needs fusermount3, which is not installed (Debian package fuse3)"};
  }
  if (result.start_errno != 0) return system_error(result.start_errno, what + ": cannot run fusermount3");
  const std::string& complaint = result.complaint;
  const std::string reason = complaint.empty() ? "exit status " + std::to_string(result.exit_status) : complaint;
  // Its text is all that says why; the common reasons keep their number.
  const int number = complaint.find("evice or resource busy") != std::string::npos ? EBUSY
                     : complaint.find("not found in") != std::string::npos         ? EINVAL
                                                                                  : EPERM;
  return {number, what + ": fusermount3 failed: " + reason};
}

int mount_by_helper(const MountOptions& options, SystemError& error) {
  const std::string what = "cannot mount " + options.source + " on " + options.directory;
  unsigned long flags = 0;
  if (!collect_flags(options.flags, flags, error)) return -1;
  std::string list = "fsname=" + escaped(options.source) + ",subtype=" + options.subtype + common_options(options);
  for (const std::string& flag : options.flags) list += "," + flag;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    error = system_error(errno, what);
    return -1;
  }
  Process helper({kFusermount, "-o", list, "--", options.directory}, sockets[1],
                 "_FUSE_COMMFD=" + std::to_string(sockets[1]));
  close(sockets[1]);
  const int fd = receive_descriptor(sockets[0]);
  close(sockets[0]);
  const ProcessResult result = helper.finish();
  if (fd < 0 || !result.succeeded()) {
    if (fd >= 0) close(fd);
    error = fusermount_error(result, what);
    return -1;
  }
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

}  // namespace

int mount_device(const MountOptions& options, SystemError& error) {
  mode_t mode = 0;
  if (!check_directory(options.directory, mode, error)) return -1;
  return geteuid() == 0 ? mount_as_root(options, mode, error) : mount_by_helper(options, error);
}

bool remount(const std::string& directory, const std::vector<std::string>& names, SystemError& error) {
  unsigned long flags = MS_REMOUNT;
  if (!collect_flags(names, flags, error)) return false;
  if (mount(nullptr, directory.c_str(), nullptr, flags, nullptr) == 0) return true;
  const std::string what = "cannot remount " + directory;
  error = errno == EPERM   ? SystemError{EPERM, what + ": no permission (mount(2) needs CAP_SYS_ADMIN)"}
          : errno == EBUSY ? SystemError{EBUSY, what + ": it is busy: files are open for writing, or removed and still open"}
                           : system_error(errno, what);
  return false;
}

bool unmount(const std::string& directory, bool lazy, SystemError& error) {
  const std::string what = "cannot unmount " + directory;
  if (geteuid() == 0) {
    if (umount2(directory.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return true;
    error = errno == EINVAL  ? SystemError{EINVAL, what + ": it is not a mount point"}
            : errno == EBUSY ? SystemError{EBUSY, what + ": it is busy: some process uses it (fuser -m shows which)"}
                             : system_error(errno, what);
    return false;
  }
  std::vector<std::string> arguments = {kFusermount, "-u"};
  if (lazy) arguments.push_back("-z");
  arguments.push_back("--");
  arguments.push_back(directory);
  const ProcessResult result = Process(arguments, -1, "").finish();
  if (!result.succeeded()) error = fusermount_error(result, what);
  return result.succeeded();
}

}  // namespace nvmfs

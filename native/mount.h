// Mounting and unmounting: by mount(2) for root, through fusermount3 for everybody else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "error.h"

namespace nvmfs {

struct MountOptions {
  // What /proc/mounts shows as the device.
  std::string source;
  std::string directory;
  // The type becomes fuse.SUBTYPE.
  std::string subtype;
  // Names as mount(8) has them: ro, nosuid, nodev, noexec, noatime ...
  std::vector<std::string> flags;
  bool allow_other = false;
  bool default_permissions = false;
  // Largest READ in bytes, 0 = the kernel's choice.
  uint32_t max_read = 0;
};

// The non-blocking, close-on-exec descriptor of the new mount, or -1 with `error` set.
int mount_device(const MountOptions& options, SystemError& error);

// Changes the flags of a mount and of its file system to exactly those named; the kernel writes nothing back through the daemon.
bool remount(const std::string& directory, const std::vector<std::string>& flags, SystemError& error);

// Blocks until the kernel is done, which may need the daemon to serve requests: never call it on the serving thread.
bool unmount(const std::string& directory, bool lazy, SystemError& error);

}  // namespace nvmfs

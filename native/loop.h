// Loop devices: the file behind one is the same medium under another name.
#pragma once

namespace nvmfs {

// A descriptor of the file behind a loop device, opened for reading; -1 if the descriptor is of no loop device, or if
// its file can't be reached from here (removed, in another mount namespace, not ours to open).
int open_backing_file(int device);

}  // namespace nvmfs

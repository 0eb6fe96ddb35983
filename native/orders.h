// Between a supervisor and its servers: orders of one byte over a socket, with a descriptor where one belongs to them,
// and the tie that lets no server outlive its supervisor.
#pragma once

#include <sys/types.h>

#include "error.h"

namespace nvmfs {

// Two connected sockets, close-on-exec. False with `error` set.
bool order_sockets(int ends[2], SystemError& error);

// Sends one byte and, unless it is -1, a copy of a descriptor.
bool send_order(int socket, char order, int descriptor, SystemError& error);

struct Order {
  // -1: the other side has closed the socket.
  int order = -1;
  // Close-on-exec; -1 if none came along.
  int descriptor = -1;
};

// Waits for an order.
Order receive_order(int socket, SystemError& error);

// From now on this process is killed when the thread that started it ends. False if its parent is not `parent` any more.
bool die_with_parent(pid_t parent, SystemError& error);

}  // namespace nvmfs

#include "orders.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nvmfs {

bool order_sockets(int ends[2], SystemError& error) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) return true;
  error = system_error(errno, "cannot make a pair of sockets");
  return false;
}

bool send_order(int socket, char order, int descriptor, SystemError& error) {
  iovec vector = {&order, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == 1) return true;
  error = system_error(errno, "cannot send an order to a server");
  return false;
}

Order receive_order(int socket, SystemError& error) {
  char byte = 0;
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
  Order result;
  if (length < 0) error = system_error(errno, "cannot receive an order");
  if (length <= 0) return result;
  result.order = static_cast<unsigned char>(byte);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int))) {
    memcpy(&result.descriptor, CMSG_DATA(header), sizeof result.descriptor);
  }
  return result;
}

bool die_with_parent(pid_t parent, SystemError& error) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    error = system_error(errno, "cannot be tied to the supervisor");
    return false;
  }
  // It may have ended before.
  if (getppid() == parent) return true;
  error = {ESRCH, "the supervisor has ended"};
  return false;
}

}  // namespace nvmfs

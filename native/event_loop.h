// Waiting for requests without starving Node's own event loop, which lives in the same thread.
#pragma once

#include <node_api.h>

#include <cstdint>

struct uv_loop_s;

namespace nvmfs {

// Nanoseconds of the monotonic clock.
int64_t monotonic_ns();

// What a thread that serves /dev/fuse must know of the event loop it keeps waiting.
//
// libuv registers a new watcher with its epoll descriptor only at the next turn of the loop, so after callbacks ran
// (events, timers) the loop must turn once more before this thread may sleep. may_sleep() sees to that.
class EventLoop {
 public:
  // False if the environment has no loop.
  bool attach(napi_env env);

  // At most every few milliseconds (the tick of the coarse clock): does the loop have something to do? For a thread
  // that always finds a request waiting and would never ask otherwise.
  bool overdue();

  // Before sleeping: false if the loop must turn first; `sleep_ms` is cut to the time until the next timer.
  bool may_sleep(int& sleep_ms);

  // The loop was found ready, or a timer was due: it will run callbacks.
  void will_run() { callbacks_expected_ = true; }

  // Becomes readable when the loop has events.
  int descriptor() const { return descriptor_; }

 private:
  int64_t next_timer_ms() const;
  bool ready() const;

  uv_loop_s* loop_ = nullptr;
  int descriptor_ = -1;
  uint64_t events_seen_ = 0;
  bool callbacks_expected_ = false;
  int64_t checked_at_ns_ = 0;
};

}  // namespace nvmfs

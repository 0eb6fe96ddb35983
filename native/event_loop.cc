#include "event_loop.h"

#include <poll.h>
#include <time.h>

// libuv is part of node's binary and exports these functions; its headers are not needed for them.
extern "C" {
struct uv_handle_s;
// struct uv_metrics_s of libuv >= 1.45.
struct nvmfs_uv_metrics {
  uint64_t loop_count;
  uint64_t events;
  uint64_t events_waiting;
  uint64_t* reserved[13];
};
int uv_backend_fd(const uv_loop_s* loop);
void uv_update_time(uv_loop_s* loop);
void uv_walk(uv_loop_s* loop, void (*callback)(uv_handle_s* handle, void* argument), void* argument);
int uv_handle_get_type(const uv_handle_s* handle);
const char* uv_handle_type_name(int type);
int uv_is_active(const uv_handle_s* handle);
uint64_t uv_timer_get_due_in(const uv_handle_s* handle);
// Weak: Node 20.0 to 20.2 has an older libuv.
__attribute__((weak)) int uv_metrics_info(uv_loop_s* loop, nvmfs_uv_metrics* metrics);
}

namespace nvmfs {

namespace {

// enum uv_handle_type has been stable since libuv 1.0; attach() verifies it by name.
constexpr int kTimerType = 13;

void find_next_timer(uv_handle_s* handle, void* argument) {
  if (uv_handle_get_type(handle) != kTimerType || uv_is_active(handle) == 0) return;
  const auto due_in = static_cast<int64_t>(uv_timer_get_due_in(handle));
  auto* next = static_cast<int64_t*>(argument);
  if (*next < 0 || due_in < *next) *next = due_in;
}

}  // namespace

int64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

bool EventLoop::attach(napi_env env) {
  if (loop_ != nullptr) return true;
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok || loop == nullptr) return false;
  const char* name = uv_handle_type_name(kTimerType);
  if (name == nullptr || __builtin_strcmp(name, "timer") != 0) return false;
  descriptor_ = uv_backend_fd(loop);
  if (descriptor_ < 0) return false;
  loop_ = loop;
  return true;
}

// Milliseconds until the next timer, -1 if there is none.
int64_t EventLoop::next_timer_ms() const {
  int64_t next = -1;
  uv_update_time(loop_);
  uv_walk(loop_, find_next_timer, &next);
  return next;
}

bool EventLoop::ready() const {
  pollfd waiting = {descriptor_, POLLIN, 0};
  return poll(&waiting, 1, 0) > 0;
}

bool EventLoop::overdue() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const int64_t now_ns = int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
  if (now_ns == checked_at_ns_) return false;
  checked_at_ns_ = now_ns;
  if (!ready() && next_timer_ms() != 0) return false;
  will_run();
  return true;
}

bool EventLoop::may_sleep(int& sleep_ms) {
  if (uv_metrics_info != nullptr) {
    nvmfs_uv_metrics metrics = {};
    uv_metrics_info(loop_, &metrics);
    if (metrics.events != events_seen_) {
      events_seen_ = metrics.events;
      callbacks_expected_ = true;
    }
  }
  if (callbacks_expected_) {
    callbacks_expected_ = false;
    return false;
  }
  const int64_t timer_ms = next_timer_ms();
  if (timer_ms == 0) {
    will_run();
    return false;
  }
  if (timer_ms > 0 && (sleep_ms < 0 || timer_ms < sleep_ms)) sleep_ms = static_cast<int>(timer_ms);
  return true;
}

}  // namespace nvmfs

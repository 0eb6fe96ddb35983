// watchInterrupts and interrupted: SIGINT and SIGTERM for work that does not return to the event loop.
#include <napi.h>

#include <csignal>
#include <cstring>

#include "bindings.h"

namespace nvmfs {

namespace {

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) { interrupted = 1; }

// Without SA_RESTART a read that waits for an answer ends, too; with SA_RESETHAND a second signal kills.
Napi::Value watch_interrupts(const Napi::CallbackInfo& info) {
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_handler = note_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return info.Env().Undefined();
}

Napi::Value was_interrupted(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), interrupted != 0);
}

}  // namespace

void define_interrupt(Napi::Env env, Napi::Object exports) {
  exports.Set("watchInterrupts", Napi::Function::New(env, watch_interrupts, "watchInterrupts"));
  exports.Set("interrupted", Napi::Function::New(env, was_interrupted, "interrupted"));
}

}  // namespace nvmfs

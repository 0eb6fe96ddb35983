// Orders between supervisor and server: a few per process, so on node-addon-api.
#include <napi.h>

#include "bindings.h"
#include "orders.h"

namespace nvmfs {

namespace {

// orderSockets(): two descriptors.
Napi::Value sockets(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int ends[2];
  SystemError error;
  if (!order_sockets(ends, error)) {
    throw_error(env, error);
    return env.Undefined();
  }
  Napi::Array result = Napi::Array::New(env, 2);
  result.Set(uint32_t{0}, ends[0]);
  result.Set(uint32_t{1}, ends[1]);
  return result;
}

// sendOrder(socket, order, descriptor)
Napi::Value send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber() || !info[1].IsNumber() || !info[2].IsNumber()) {
    throw_bad_arguments(env, "sendOrder");
    return env.Undefined();
  }
  SystemError error;
  const char order = static_cast<char>(info[1].As<Napi::Number>().Int32Value());
  if (!send_order(info[0].As<Napi::Number>().Int32Value(), order, info[2].As<Napi::Number>().Int32Value(), error)) {
    throw_error(env, error);
  }
  return env.Undefined();
}

// receiveOrder(socket): { order, descriptor }
Napi::Value receive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber()) {
    throw_bad_arguments(env, "receiveOrder");
    return env.Undefined();
  }
  SystemError error;
  const Order order = receive_order(info[0].As<Napi::Number>().Int32Value(), error);
  if (error) {
    throw_error(env, error);
    return env.Undefined();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("order", order.order);
  result.Set("descriptor", order.descriptor);
  return result;
}

// dieWithParent(parent)
Napi::Value tie(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber()) {
    throw_bad_arguments(env, "dieWithParent");
    return env.Undefined();
  }
  SystemError error;
  if (!die_with_parent(info[0].As<Napi::Number>().Int32Value(), error)) throw_error(env, error);
  return env.Undefined();
}

}  // namespace

void define_orders(Napi::Env env, Napi::Object exports) {
  exports.Set("orderSockets", Napi::Function::New(env, sockets, "orderSockets"));
  exports.Set("sendOrder", Napi::Function::New(env, send, "sendOrder"));
  exports.Set("receiveOrder", Napi::Function::New(env, receive, "receiveOrder"));
  exports.Set("dieWithParent", Napi::Function::New(env, tie, "dieWithParent"));
}

}  // namespace nvmfs

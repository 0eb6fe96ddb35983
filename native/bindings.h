// What each part of the addon adds to its exports (see addon.ts for the typed interface).
#pragma once

#include <napi.h>

namespace nvmfs {

void define_image(Napi::Env env, Napi::Object exports);
void define_medium(Napi::Env env, Napi::Object exports);
void define_device(Napi::Env env, Napi::Object exports);
void define_mount(Napi::Env env, Napi::Object exports);
void define_segment(Napi::Env env, Napi::Object exports);
void define_orders(Napi::Env env, Napi::Object exports);
void define_region(Napi::Env env, Napi::Object exports);
void define_interrupt(Napi::Env env, Napi::Object exports);
void define_nvm(Napi::Env env, Napi::Object exports);

}  // namespace nvmfs

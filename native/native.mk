# The native addon: plain g++, no node-gyp. One binary serves Node 20 and later (Node-API 8).

CXX ?= g++
ADDON := build/nvmfs.node
ADDON_SOURCES := $(sort $(wildcard native/*.cc))
ADDON_OBJECTS := $(ADDON_SOURCES:native/%.cc=build/native/%.o)
ADDON_INCLUDES := -Inode_modules/node-addon-api -Inode_modules/node-api-headers/include
ADDON_FLAGS := -std=c++17 -O2 -fPIC -Wall -Wextra -Werror -fno-exceptions -fvisibility=hidden \
  -DNAPI_VERSION=8 -DNAPI_DISABLE_CPP_EXCEPTIONS $(ADDON_INCLUDES)

.PHONY: addon
addon: $(ADDON)

$(ADDON): $(ADDON_OBJECTS)
	$(CXX) -shared -o $@.new $^ -pthread
	@mv $@.new $@

build/native/%.o: native/%.cc native/native.mk $(wildcard native/*.h) | node_modules/.package-lock.json
	@mkdir -p build/native
	$(CXX) $(ADDON_FLAGS) -c -o $@ $<

# libnvm: the library that maps files from the medium, the one to preload, and the archive. C++ without its library: any C program can link them.

NVM_FLAGS := -std=c++17 -O2 -g -fPIC -Wall -Wextra -Werror -fno-exceptions -fno-rtti -fno-threadsafe-statics -fvisibility=hidden -D_GNU_SOURCE
NVM_PARTS := error file ranges registry place fault map sync attach
NVM_OBJECTS := $(NVM_PARTS:%=build/libnvm/%.o)
# Flushing and fences, as the daemon has them.
NVM_PERSIST := $(patsubst native/%.cc,build/libnvm/%.o,$(wildcard native/persist*.cc))
NVM_HEADERS := $(wildcard native/libnvm/*.h) native/persist.h native/persist_lines.h

.PHONY: libnvm
libnvm: build/libnvm.so build/libnvm.a build/libnvm-preload.so ## compile the mapping library

# The addon has it, too, for Node programs.
$(ADDON): $(NVM_OBJECTS)

build/libnvm.so: $(NVM_OBJECTS) $(NVM_PERSIST) native/libnvm/libnvm.map
	$(CC) -shared -o $@.new -Wl,-soname,libnvm.so.1 -Wl,--version-script=native/libnvm/libnvm.map -Wl,-z,defs $(filter %.o,$^) -pthread
	@mv $@.new $@
	@ln -sf libnvm.so $@.1

build/libnvm-preload.so: $(NVM_OBJECTS) $(NVM_PERSIST) build/libnvm/preload.o native/libnvm/preload.map
	$(CC) -shared -o $@.new -Wl,-soname,libnvm-preload.so -Wl,--version-script=native/libnvm/preload.map -Wl,-z,defs $(filter %.o,$^) -pthread
	@mv $@.new $@

build/libnvm.a: $(NVM_OBJECTS) $(NVM_PERSIST)
	@rm -f $@
	$(AR) rcs $@ $^

build/libnvm/%.o: native/libnvm/%.cc native/libnvm/libnvm.mk $(NVM_HEADERS)
	@mkdir -p build/libnvm
	$(CXX) $(NVM_FLAGS) -c -o $@ $<

build/libnvm/%.o: native/%.cc native/libnvm/libnvm.mk $(NVM_HEADERS)
	@mkdir -p build/libnvm
	$(CXX) $(NVM_FLAGS) -c -o $@ $<

"""Makes a C project: `project.py DIR FILES`. Its program prints a number that this prints, too."""
import os
import sys

base, count = sys.argv[1], int(sys.argv[2])
os.makedirs(os.path.join(base, "src"))
os.makedirs(os.path.join(base, "include"))


def write(name, text):
    with open(os.path.join(base, name), "w") as file:
        file.write(text)


total = 0
for i in range(count):
    factor = i * 7919 % 1000 + 1
    total += factor * (i + 1)
    write(f"include/part{i}.h", f"#ifndef PART{i}_H\n#define PART{i}_H\nlong part{i}(long x);\n#endif\n")
    filler = "\n".join(f"static long step{i}_{k}(long x) {{ volatile long y = x; return y + {k} - {k}; }}" for k in range(20))
    calls = "\n".join(f"  x = step{i}_{k}(x);" for k in range(20))
    write(f"src/part{i}.c", f'#include "part{i}.h"\n#include <stdio.h>\n#include <string.h>\n{filler}\nlong part{i}(long x) {{\n{calls}\n  return x * {factor};\n}}\n')
includes = "\n".join(f'#include "part{i}.h"' for i in range(count))
body = "\n".join(f"  total += part{i}({i + 1});" for i in range(count // 2))
shared = "\n".join(f"  total += part{i}({i + 1});" for i in range(count // 2, count))
write("src/main.c", f"""{includes}
#include <stdio.h>
long shared_total(void);
int main(void) {{
  long total = 0;
{body}
  printf("%ld\\n", total + shared_total());
  return 0;
}}
""")
write("src/shared.c", f"{includes}\nlong shared_total(void) {{\n  long total = 0;\n{shared}\n  return total;\n}}\n")
# Half of the parts go into a static library, half into a shared one: ar, ld and the dynamic loader all use the volume.
write("Makefile", f"""CFLAGS = -O0 -fPIC -Iinclude -pipe
STATIC = {" ".join(f"src/part{i}.o" for i in range(count // 2))}
SHARED = {" ".join(f"src/part{i}.o" for i in range(count // 2, count))} src/shared.o
program: src/main.o libstatic.a libshared.so
\t$(CC) -o $@ src/main.o libstatic.a -L. -lshared -Wl,-rpath,'$$ORIGIN'
libstatic.a: $(STATIC)
\tar rcs $@ $^
libshared.so: $(SHARED)
\t$(CC) -shared -o $@ $^
src/%.o: src/%.c include/part1.h
\t$(CC) $(CFLAGS) -c -o $@ $<
""")
print(total)

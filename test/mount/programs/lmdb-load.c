/*
 * Thousands of LMDB transactions against a plain array as the model, then a complete comparison.
 *
 *   lmdb-load DIR TRANSACTIONS SEED [writemap] [check]
 *
 * With `check` it changes nothing: it replays the random sequence on the model alone and compares.
 */
#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 4000, VALUE_MAX = 3000, CHANGES = 8 };

/* What the database must hold: the seed and length of each key's value; length 0 is "absent". */
static struct { uint64_t seed; size_t length; } model[KEYS];
static uint64_t state;

static uint64_t next_random(void) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static void fill(unsigned char *value, size_t length, uint64_t seed) {
  for (size_t i = 0; i < length; i++) value[i] = (unsigned char)((seed >> (i % 8 * 8)) + i * 31);
}

static void must(int result, const char *what) {
  if (result == MDB_SUCCESS) return;
  fprintf(stderr, "%s: %s\n", what, mdb_strerror(result));
  exit(1);
}

static void change(MDB_txn *txn, MDB_dbi dbi, bool apply) {
  unsigned char bytes[VALUE_MAX];
  uint32_t number = (uint32_t)(next_random() % KEYS);
  uint64_t seed = next_random();
  size_t length = next_random() % 4 == 0 ? 0 : 1 + next_random() % VALUE_MAX;
  MDB_val key = {sizeof number, &number}, value = {length, bytes};
  if (length == 0) {
    int result = apply ? mdb_del(txn, dbi, &key, NULL) : MDB_SUCCESS;
    if (result == MDB_NOTFOUND && model[number].length == 0) result = MDB_SUCCESS;
    must(result, "mdb_del");
  } else {
    fill(bytes, length, seed);
    if (apply) must(mdb_put(txn, dbi, &key, &value, 0), "mdb_put");
  }
  model[number].seed = seed;
  model[number].length = length;
}

static void compare(MDB_txn *txn, MDB_dbi dbi) {
  size_t present = 0;
  for (uint32_t number = 0; number < KEYS; number++) {
    unsigned char bytes[VALUE_MAX];
    MDB_val key = {sizeof number, &number}, value;
    int result = mdb_get(txn, dbi, &key, &value);
    if (model[number].length == 0) {
      if (result != MDB_NOTFOUND) { fprintf(stderr, "key %u should be absent\n", number); exit(1); }
      continue;
    }
    must(result, "mdb_get");
    fill(bytes, model[number].length, model[number].seed);
    if (value.mv_size != model[number].length || memcmp(value.mv_data, bytes, value.mv_size) != 0) {
      fprintf(stderr, "key %u has a wrong value\n", number);
      exit(1);
    }
    present++;
  }
  MDB_stat stat;
  must(mdb_stat(txn, dbi, &stat), "mdb_stat");
  if (stat.ms_entries != present) { fprintf(stderr, "%zu entries, wanted %zu\n", (size_t)stat.ms_entries, present); exit(1); }
  printf("%zu entries\n", present);
}

int main(int argc, char **argv) {
  if (argc < 4) { fprintf(stderr, "usage: lmdb-load DIR TRANSACTIONS SEED [writemap] [check]\n"); return 2; }
  unsigned flags = 0;
  bool apply = true;
  for (int i = 4; i < argc; i++) {
    if (strcmp(argv[i], "writemap") == 0) flags |= MDB_WRITEMAP;
    if (strcmp(argv[i], "check") == 0) apply = false;
  }
  state = strtoull(argv[3], NULL, 10);
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi dbi;
  must(mdb_env_create(&env), "mdb_env_create");
  must(mdb_env_set_mapsize(env, (size_t)256 << 20), "mdb_env_set_mapsize");
  must(mdb_env_open(env, argv[1], flags, 0644), "mdb_env_open");
  for (long i = 0, count = atol(argv[2]); i < count; i++) {
    if (apply) must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    if (apply) must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), "mdb_dbi_open");
    for (int k = 0; k < CHANGES; k++) change(txn, dbi, apply);
    if (apply) must(mdb_txn_commit(txn), "mdb_txn_commit");
  }
  must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
  must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), "mdb_dbi_open");
  compare(txn, dbi);
  mdb_txn_abort(txn);
  mdb_env_close(env);
  return 0;
}

/*
 * Transactions of libpmemobj until it is killed: pmemobj-load POOL SEED. Opens the pool, or makes it, and first checks what an earlier run left: in each
 * transaction one cell of two arrays and the total grow by the same number, and a list of objects gets as long as a counter says.
 */
#include <libpmemobj.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CELLS 512

struct node {
  PMEMoid next;
  uint64_t number;
  char rest[200];
};

struct root {
  uint64_t total;
  uint64_t transactions;
  uint64_t length;
  PMEMoid first;
  uint64_t left[CELLS];
  uint64_t right[CELLS];
};

static PMEMobjpool *pool;
static struct root *root;

static int wrong(const char *what, uint64_t expected, uint64_t found) {
  printf("%s: expected %llu, found %llu\n", what, (unsigned long long)expected, (unsigned long long)found);
  return 1;
}

static int check(void) {
  uint64_t left = 0, right = 0, length = 0, last = UINT64_MAX;
  for (int i = 0; i < CELLS; i++) left += root->left[i], right += root->right[i];
  if (left != root->total) return wrong("the left cells", root->total, left);
  if (right != root->total) return wrong("the right cells", root->total, right);
  for (PMEMoid at = root->first; !OID_IS_NULL(at); length++) {
    const struct node *node = pmemobj_direct(at);
    if (node->number >= last) return wrong("an object's number is less than", last, node->number);
    last = node->number;
    for (size_t i = 0; i < sizeof node->rest; i++)
      if (node->rest[i] != (char)node->number) return wrong("an object's bytes", node->number & 255, (unsigned char)node->rest[i]);
    at = node->next;
  }
  return length == root->length ? 0 : wrong("the list", root->length, length);
}

static void one(unsigned random) {
  const uint64_t amount = random % 1000 + 1;
  uint64_t *left = &root->left[random / 7 % CELLS], *right = &root->right[random / 11 % CELLS];
  TX_BEGIN(pool) {
    pmemobj_tx_add_range_direct(root, offsetof(struct root, left));
    pmemobj_tx_add_range_direct(left, sizeof *left);
    pmemobj_tx_add_range_direct(right, sizeof *right);
    *left += amount;
    *right += amount;
    root->total += amount;
    root->transactions++;
    if (root->length < 3000 && random % 5 != 0) {
      PMEMoid made = pmemobj_tx_alloc(sizeof(struct node), 1);
      struct node *node = pmemobj_direct(made);
      node->next = root->first;
      node->number = root->transactions;
      for (size_t i = 0; i < sizeof node->rest; i++) node->rest[i] = (char)node->number;
      root->first = made;
      root->length++;
    } else if (root->length > 0) {
      PMEMoid old = root->first;
      root->first = ((struct node *)pmemobj_direct(old))->next;
      root->length--;
      pmemobj_tx_free(old);
    }
  }
  TX_ONABORT { _exit(3); }
  TX_END
}

int main(int count, char **words) {
  if (count != 3) return 2;
  unsigned state = (unsigned)strtoul(words[2], NULL, 10);
  pool = access(words[1], F_OK) == 0 ? pmemobj_open(words[1], "load") : pmemobj_create(words[1], "load", PMEMOBJ_MIN_POOL * 4, 0600);
  if (pool == NULL) {
    printf("%s\n", pmemobj_errormsg());
    return 1;
  }
  root = pmemobj_direct(pmemobj_root(pool, sizeof(struct root)));
  if (check() != 0) return 1;
  printf("sound after %llu transactions\n", (unsigned long long)root->transactions);
  fflush(stdout);
  for (;;) one(state = state * 1664525 + 1013904223);
}

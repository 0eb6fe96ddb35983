/* The null server's namespace: a fixed table of nodes, found by (parent, name) through a hash. */
#ifndef NULL_NODES_H
#define NULL_NODES_H

#include <stddef.h>
#include <stdint.h>

enum {
    NODES_MAX = 1 << 16,
    NODE_NAME_MAX = 79,
    ROOT_NODE = 1, /* FUSE_ROOT_ID: the node id is the index in the table */
};

struct node {
    uint64_t size;
    uint64_t lookups;   /* the kernel's references; the slot is reused only without any */
    uint32_t parent;    /* 0: not linked in the namespace */
    uint32_t next;      /* in the hash chain, or in the free list */
    uint32_t mode;      /* 0: slot is free */
    uint32_t name_length;
    char name[NODE_NAME_MAX + 1];
};

void nodes_init(void);

/* The node with this id; NULL for an id the server never gave out. */
struct node *node_get(uint64_t id);

/* The id of a name in a directory; 0 when there is none. */
uint32_t node_find(uint32_t parent, const char *name, size_t length);

/* Makes a node; 0 when the table is full or the name too long. */
uint32_t node_create(uint32_t parent, const char *name, size_t length, uint32_t mode);

/* Takes a node out of the namespace; its slot is free once the kernel forgets it. */
void node_unlink(uint32_t id);

void node_forget(uint64_t id, uint64_t lookups);

/* The first child of `parent` with an id above `after`; 0 when there is none. */
uint32_t node_next_child(uint32_t parent, uint64_t after);

#endif

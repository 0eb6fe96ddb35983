#include "null-nodes.h"

#include <string.h>
#include <sys/stat.h>

enum { BUCKETS = NODES_MAX };

static struct node nodes[NODES_MAX];
static uint32_t buckets[BUCKETS];
static uint32_t free_list;
static uint32_t highest = ROOT_NODE; /* no slot above was ever used */

void nodes_init(void)
{
    nodes[ROOT_NODE].mode = S_IFDIR | 0755;
    nodes[ROOT_NODE].lookups = 1;
    nodes[ROOT_NODE].parent = ROOT_NODE;
}

static uint32_t *bucket_of(uint32_t parent, const char *name, size_t length)
{
    uint32_t hash = 2166136261u ^ parent; /* FNV-1a */
    for (size_t at = 0; at < length; at++)
        hash = (hash ^ (uint8_t)name[at]) * 16777619u;
    return &buckets[(hash ^ hash >> 16) % BUCKETS];
}

struct node *node_get(uint64_t id)
{
    return id != 0 && id < NODES_MAX && nodes[id].mode != 0 ? &nodes[id] : NULL;
}

uint32_t node_find(uint32_t parent, const char *name, size_t length)
{
    uint32_t id = *bucket_of(parent, name, length);
    while (id != 0) {
        const struct node *node = &nodes[id];
        if (node->parent == parent && node->name_length == length && memcmp(node->name, name, length) == 0)
            return id;
        id = node->next;
    }
    return 0;
}

uint32_t node_create(uint32_t parent, const char *name, size_t length, uint32_t mode)
{
    uint32_t id = free_list;
    if (length > NODE_NAME_MAX || (id == 0 && highest == NODES_MAX - 1))
        return 0;
    if (id != 0)
        free_list = nodes[id].next;
    else
        id = ++highest;
    uint32_t *bucket = bucket_of(parent, name, length);
    struct node *node = &nodes[id];
    *node = (struct node){ .parent = parent, .mode = mode, .next = *bucket, .name_length = (uint32_t)length };
    memcpy(node->name, name, length);
    *bucket = id;
    return id;
}

static void release_if_unused(uint32_t id)
{
    struct node *node = &nodes[id];
    if (node->parent != 0 || node->lookups != 0)
        return;
    node->mode = 0;
    node->next = free_list;
    free_list = id;
}

void node_unlink(uint32_t id)
{
    struct node *node = &nodes[id];
    uint32_t *link = bucket_of(node->parent, node->name, node->name_length);
    while (*link != id)
        link = &nodes[*link].next;
    *link = node->next;
    node->parent = 0;
    release_if_unused(id);
}

void node_forget(uint64_t id, uint64_t lookups)
{
    struct node *node = node_get(id);
    if (node == NULL || id == ROOT_NODE)
        return;
    node->lookups -= lookups < node->lookups ? lookups : node->lookups;
    release_if_unused((uint32_t)id);
}

uint32_t node_next_child(uint32_t parent, uint64_t after)
{
    for (uint64_t id = after < ROOT_NODE ? ROOT_NODE + 1 : after + 1; id <= highest; id++)
        if (nodes[id].parent == parent && nodes[id].mode != 0)
            return (uint32_t)id;
    return 0;
}

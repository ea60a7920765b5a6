/* Ids to tunnels. A slot's generation is part of the id, so an id held too long finds nothing. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SLOTS 256u

static int table_grow(struct relay_engine *engine) {
  uint32_t count = engine->slot_count == 0 ? FIRST_SLOTS : engine->slot_count * 2;
  if (count > engine->max_tunnels) count = engine->max_tunnels;
  if (count <= engine->slot_count) return -ENOSPC;
  struct slot *slots = realloc(engine->slots, count * sizeof *slots);
  if (slots == NULL) return -ENOMEM;
  for (uint32_t i = count; i-- > engine->slot_count;) {
    slots[i] = (struct slot){.tunnel = NULL, .generation = 1, .next_free = engine->first_free};
    engine->first_free = i;
  }
  engine->slots = slots;
  engine->slot_count = count;
  return 0;
}

int64_t table_insert(struct relay_engine *engine, struct tunnel *tunnel) {
  if (engine->first_free == NO_SLOT) {
    int failed = table_grow(engine);
    if (failed != 0) return failed;
  }
  uint32_t index = engine->first_free;
  struct slot *slot = &engine->slots[index];
  engine->first_free = slot->next_free;
  slot->tunnel = tunnel;
  tunnel->id = ((uint64_t)slot->generation << SLOT_BITS) | index;
  engine->open++;
  return (int64_t)tunnel->id;
}

struct tunnel *table_find(const struct relay_engine *engine, uint64_t id) {
  uint64_t index = id & ((1u << SLOT_BITS) - 1);
  if (index >= engine->slot_count) return NULL;
  struct tunnel *tunnel = engine->slots[index].tunnel;
  return tunnel != NULL && tunnel->id == id ? tunnel : NULL;
}

void table_remove(struct relay_engine *engine, struct tunnel *tunnel) {
  uint32_t index = (uint32_t)(tunnel->id & ((1u << SLOT_BITS) - 1));
  struct slot *slot = &engine->slots[index];
  slot->tunnel = NULL;
  slot->generation = slot->generation + 1 < GENERATION_LIMIT ? slot->generation + 1 : 1;
  slot->next_free = engine->first_free;
  engine->first_free = index;
  engine->open--;
}

#include "engine.h"

#include <string.h>

void wheel_init(struct wheel *wheel, uint64_t now_ms) {
  memset(wheel, 0, sizeof *wheel);
  wheel->tick = now_ms / WHEEL_TICK_MS;
}

void wheel_schedule(struct wheel *wheel, struct tunnel *tunnel, uint64_t deadline_ms) {
  wheel_cancel(wheel, tunnel);
  uint64_t tick = deadline_ms / WHEEL_TICK_MS + (deadline_ms % WHEEL_TICK_MS != 0);
  if (tick <= wheel->tick) tick = wheel->tick + 1;
  if (tick - wheel->tick >= WHEEL_SLOTS) tick = wheel->tick + WHEEL_SLOTS - 1;
  uint32_t slot = (uint32_t)(tick % WHEEL_SLOTS);
  struct tunnel **head = &wheel->slot[slot];
  tunnel->wheel_next = *head;
  if (*head != NULL) (*head)->wheel_link = &tunnel->wheel_next;
  tunnel->wheel_link = head;
  tunnel->wheel_slot = slot;
  *head = tunnel;
  wheel->occupied[slot / 64] |= 1ull << (slot % 64);
}

void wheel_cancel(struct wheel *wheel, struct tunnel *tunnel) {
  if (tunnel->wheel_link == NULL) return;
  *tunnel->wheel_link = tunnel->wheel_next;
  if (tunnel->wheel_next != NULL) tunnel->wheel_next->wheel_link = tunnel->wheel_link;
  tunnel->wheel_next = NULL;
  tunnel->wheel_link = NULL;
  uint32_t slot = tunnel->wheel_slot;
  if (wheel->slot[slot] == NULL) wheel->occupied[slot / 64] &= ~(1ull << (slot % 64));
}

/* From the next tick to the first occupied slot, WHEEL_SLOTS when none is. At most seventeen words:
 * the first may be entered in its middle, and its lower part comes last. */
static uint32_t ticks_to_occupied(const struct wheel *wheel) {
  uint64_t next = wheel->tick + 1;
  for (uint32_t ahead = 0; ahead < WHEEL_SLOTS;) {
    uint32_t slot = (uint32_t)((next + ahead) % WHEEL_SLOTS);
    uint64_t word = wheel->occupied[slot / 64] >> (slot % 64);
    if (word != 0) return ahead + (uint32_t)__builtin_ctzll(word);
    ahead += 64 - slot % 64;
  }
  return WHEEL_SLOTS;
}

int wheel_timeout(const struct wheel *wheel, uint64_t now_ms) {
  uint32_t ahead = ticks_to_occupied(wheel);
  if (ahead == WHEEL_SLOTS) return -1;
  uint64_t due = (wheel->tick + 1 + ahead) * WHEEL_TICK_MS;
  return due > now_ms ? (int)(due - now_ms) : 0;
}

struct tunnel *wheel_due(struct wheel *wheel, uint64_t now_ms) {
  uint64_t now_tick = now_ms / WHEEL_TICK_MS;
  for (;;) {
    struct tunnel *tunnel = wheel->slot[wheel->tick % WHEEL_SLOTS];
    if (tunnel != NULL) {
      wheel_cancel(wheel, tunnel);
      return tunnel;
    }
    if (wheel->tick >= now_tick) return NULL;
    uint64_t jump = (uint64_t)ticks_to_occupied(wheel) + 1;
    wheel->tick = wheel->tick + jump < now_tick ? wheel->tick + jump : now_tick;
  }
}

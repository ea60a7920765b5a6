/* Intrusive queues: no allocation, so nothing can fail while a tunnel ends. */
#include "engine.h"

void queue_init(struct queue *queue) {
  queue->first = NULL;
  queue->last = &queue->first;
}

void queue_push(struct queue *queue, struct tunnel *tunnel) {
  tunnel->queue_next = NULL;
  tunnel->queue_link = queue->last;
  *queue->last = tunnel;
  queue->last = &tunnel->queue_next;
}

void queue_remove(struct queue *queue, struct tunnel *tunnel) {
  if (tunnel->queue_link == NULL) return;
  *tunnel->queue_link = tunnel->queue_next;
  if (tunnel->queue_next != NULL)
    tunnel->queue_next->queue_link = tunnel->queue_link;
  else
    queue->last = tunnel->queue_link;
  tunnel->queue_next = NULL;
  tunnel->queue_link = NULL;
}

struct tunnel *queue_shift(struct queue *queue) {
  struct tunnel *tunnel = queue->first;
  if (tunnel != NULL) queue_remove(queue, tunnel);
  return tunnel;
}

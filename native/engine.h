/* What the relay's files share among themselves; nothing outside includes this. */
#ifndef SALLYPORT_ENGINE_H
#define SALLYPORT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "relay.h"

/*
 * A direction may move this much before the next ready tunnel has its turn, so that one bulk
 * tunnel cannot starve small ones: 256 KiB is about 50 microseconds of splicing.
 * It is also the most that can be pending in a pipe.
 */
#define BYTES_PER_TURN (256u * 1024)
/* One TLS record (RFC 8446 section 5.1: 2^14) and its header fit: a read that fills this is bulk. */
#define SMALL_READ_BYTES (17u * 1024)
/* What one recv takes in bulk when there is no pipe; the size of the engine's one buffer. */
#define SCRATCH_BYTES (64u * 1024)
/* A splice that moves less than this was not worth a pipe: back to recv and send. */
#define QUIET_BYTES 4096u

/* Tunnel ids are `generation * 2^24 + slot`, and below 2^53 to be exact as a JavaScript number. */
#define SLOT_BITS 24
#define GENERATION_LIMIT (1u << 29)

enum { CLIENT = 0, ORIGIN = 1 };

struct pipe_pair {
  int read_fd;
  int write_fd;
  struct pipe_pair *next;
};

struct pipe_pool {
  struct pipe_pair *idle;
  uint32_t idle_count;
  _Atomic uint32_t count;
  uint32_t max;
};

struct side {
  int fd;
  /* An errno this side failed with. What it sent before is still delivered if it can be. */
  int error;
  bool readable;
  bool writable;
  /* The peer has finished or marked something urgent: a short read proves nothing. */
  bool short_reads_lie;
};

/* From side d to side 1 - d. Pending bytes are in `pipe` or in `held`, never in both. */
struct direction {
  _Atomic uint64_t delivered;
  struct pipe_pair *pipe;
  uint8_t *held;
  uint32_t pending;
  uint32_t offset; /* of the first pending byte in `held` */
  bool bulk;
  bool no_splice;
  bool eof;
  bool done; /* the end was passed on, or cannot be */
};

enum tunnel_state {
  TUNNEL_NEW,
  TUNNEL_DIALLING,
  TUNNEL_RELAYING,
  TUNNEL_ENDED,
  /* At the door (door.c). */
  TUNNEL_SILENT,  /* accepted, nothing read */
  TUNNEL_ASKED,   /* an event is out, or its answer is on its way */
  TUNNEL_OPENING, /* waits for bytes of the opening */
  TUNNEL_LINGERING,
};

enum door_command { DOOR_REPLY = 1, DOOR_CONNECT, DOOR_CARRY, DOOR_MORE, DOOR_TAKE };

/* What a tunnel needs until it is relayed. Where it was judged before that, it lives on until that has been told. */
struct door {
  union relay_address peer;
  union relay_address original; /* where it was going, of a listener for TLS */
  uint64_t until_ms;
  uint64_t dial_us; /* while it dials: since when */
  uint8_t *reply;
  uint32_t reply_bytes;
  uint32_t reported; /* so many of the bytes held were told of before */
  uint32_t left;     /* lingering: bytes that are still read; else what may still be held */
  int error;
  int original_error; /* a negative errno where that cannot be told */
  struct relay_door_connect connect;
  uint8_t listener; /* index */
  uint8_t command;
  uint8_t event;
  bool watched;
  bool ended;
  bool queued; /* in the list of events */
  bool commanded;
  /* Of one that lives on. */
  struct door *next;
  uint64_t id;
  int16_t address;
};

/* First in, first out. */
struct door_list {
  struct door *first;
  struct door **last;
};

struct attempt {
  struct dial *dial;
  int fd; /* -1: none */
};

/* The race for a connection; lives until its completion is drained. */
struct dial {
  struct tunnel *tunnel;
  uint32_t dial_ms;
  uint32_t stagger_ms;
  uint32_t count;
  uint32_t next;       /* address to try */
  uint64_t next_at_ms; /* when, if none fails before; UINT64_MAX: all were tried */
  int error;
  struct attempt attempt[RELAY_DIAL_ADDRESSES];
  union relay_address address[RELAY_DIAL_ADDRESSES];
};

struct tunnel {
  struct direction direction[2];
  struct side side[2];
  uint64_t id;
  uint64_t started_ms;
  _Atomic uint64_t active_ms;
  uint32_t idle_ms;
  uint32_t lifetime_ms;
  struct tunnel *wheel_next;
  struct tunnel **wheel_link; /* what points at this one; NULL: in no slot */
  uint32_t wheel_slot;
  struct tunnel *queue_next; /* in the added, ready or ended list: in one at a time */
  struct tunnel **queue_link;
  struct dial *dial; /* NULL: both sockets came connected */
  struct door *door; /* NULL: it is past the door, or never came through it */
  int dialled_fd;    /* of a dial that succeeded, until it is drained; -1: none */
  uint32_t kill_reason;
  int error;
  int16_t address;
  uint8_t state;
  uint8_t ended_by;
  bool through_door; /* both its sockets are watched since */
  bool probed;
  int8_t first_eof; /* -1: neither side has finished */
};

struct queue {
  struct tunnel *first;
  struct tunnel **last;
};

void queue_init(struct queue *queue);
void queue_push(struct queue *queue, struct tunnel *tunnel);
void queue_remove(struct queue *queue, struct tunnel *tunnel);
struct tunnel *queue_shift(struct queue *queue);

/*
 * Deadlines, coarse: never early, at most a tick late. A tunnel is in one slot; activity does
 * not move it (that would be work per message): when its slot comes up the real deadline is
 * computed again and it is put back. Deadlines past the horizon are looked at once a horizon.
 */
#define WHEEL_SLOTS 1024u
#define WHEEL_TICK_MS 64u

struct wheel {
  struct tunnel *slot[WHEEL_SLOTS];
  uint64_t occupied[WHEEL_SLOTS / 64];
  uint64_t tick; /* the last one that was expired */
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);
void wheel_schedule(struct wheel *wheel, struct tunnel *tunnel, uint64_t deadline_ms);
void wheel_cancel(struct wheel *wheel, struct tunnel *tunnel);
/* Milliseconds to the next slot that holds something, -1 when none does. */
int wheel_timeout(const struct wheel *wheel, uint64_t now_ms);
/* Takes one tunnel out of a slot that is due; NULL: none is left. */
struct tunnel *wheel_due(struct wheel *wheel, uint64_t now_ms);

struct pipe_pair *pipe_acquire(struct pipe_pool *pool);
/* `empty` must be true only if every byte that went in came out: what is left would reach the next tunnel. */
void pipe_release(struct pipe_pool *pool, struct pipe_pair *pipe, bool empty);
void pipe_pool_init(struct pipe_pool *pool, uint32_t max);
void pipe_pool_destroy(struct pipe_pool *pool);

struct kill_request {
  uint64_t id;
  uint32_t reason;
};

/* Filled in by whoever adds it and the engine's thread's from then on. */
struct listener {
  int fd; /* -1: it is closed */
  int twin; /* the same socket, for its next place in the line; -1: there is none */
  enum relay_listener_kind kind;
  uint8_t *established;
  uint32_t established_bytes;
};

struct slot {
  struct tunnel *tunnel; /* NULL: free, and then `next_free` counts */
  uint32_t generation;
  uint32_t next_free;
};

struct relay_engine {
  /* The engine's thread alone. */
  int epoll_fd;
  uint64_t now_ms;
  struct wheel wheel;
  struct pipe_pool pipes;
  struct queue ready; /* has more to move, had its turn */
  struct queue ended; /* waits for the end of this round of events */
  uint8_t *scratch;
  uint32_t listening; /* so many of `listener` are listened to, or were */
  int reserve_fd; /* given up for a moment where descriptors have run out, so that a connection can be refused */
  struct queue silent;
  struct queue asking;    /* has an event, waits for the end of the round */
  struct queue discarded; /* to be freed at the end of the round */
  struct door_list carrying; /* judged and relayed since, to be told at the end of the round */
  struct listener listener[RELAY_LISTENERS];

  _Atomic uint32_t clients;
  _Atomic uint32_t client_limit;
  _Atomic uint64_t dropped;

  /* Written by the engine's thread, read by any. */
  _Atomic uint64_t bytes[2];

  int wake_fd;
  pthread_t thread;
  relay_notify notify;
  void *user;
  uint32_t max_tunnels;

  /* Everything below is guarded. Held for a few instructions, never across a system call
   * that can wait. */
  pthread_mutex_t lock;
  bool stopping;
  bool woken;
  bool notified;
  struct queue added;
  struct queue completed;
  struct queue events;
  struct door_list carried;
  struct queue commanded;
  uint32_t listeners; /* in `listener`; the thread has not heard of all of them yet */
  bool stop_listening;
  struct kill_request *kills;
  size_t kill_count;
  size_t kill_capacity;
  struct slot *slots;
  uint32_t slot_count;
  uint32_t first_free;
  uint64_t open;
};

#define NO_SLOT UINT32_MAX

uint64_t clock_ms(void);

/* engine.c. With the lock held: true once until the thread has looked, so that a burst costs one write. */
bool engine_must_wake(struct relay_engine *engine);
/* Without the lock. */
void engine_wake(struct relay_engine *engine);

/* relay.c */
struct tunnel *tunnel_new(int client_fd, int origin_fd);
void tunnel_free(struct tunnel *tunnel);

/* table.c; all with the lock held. */
int64_t table_insert(struct relay_engine *engine, struct tunnel *tunnel);
struct tunnel *table_find(const struct relay_engine *engine, uint64_t id);
void table_remove(struct relay_engine *engine, struct tunnel *tunnel);

/* tunnel.c; all in the engine's thread. */
void tunnel_start(struct relay_engine *engine, struct tunnel *tunnel);
/* Both sockets are there: from here on it relays. */
void tunnel_relay(struct relay_engine *engine, struct tunnel *tunnel);
int tunnel_watch(struct relay_engine *engine, struct tunnel *tunnel, int side);
/* Of the origin that has just been connected to: its registration becomes the tunnel's. */
int tunnel_watch_dialled(struct relay_engine *engine, struct tunnel *tunnel);
void tunnel_on_event(struct relay_engine *engine, struct tunnel *tunnel, int side, uint32_t events);
void tunnel_service(struct relay_engine *engine, struct tunnel *tunnel);
void tunnel_on_deadline(struct relay_engine *engine, struct tunnel *tunnel);
void tunnel_end(struct relay_engine *engine, struct tunnel *tunnel, enum relay_ended_by by, int error, bool reset);

/* dial.c; in the engine's thread, but for the first. */
int dial_new(struct tunnel *tunnel, const struct relay_dial_options *options);
void dial_start(struct relay_engine *engine, struct tunnel *tunnel);
void dial_on_event(struct relay_engine *engine, struct attempt *attempt, uint32_t events);
uint64_t dial_deadline(const struct tunnel *tunnel);
void dial_lost(struct relay_engine *engine, struct tunnel *tunnel, int error);
/* True: there was something to do and it was done; false: the dial's time is over. */
bool dial_on_deadline(struct relay_engine *engine, struct tunnel *tunnel);
void dial_close(struct relay_engine *engine, struct dial *dial);
/* Has the kernel look after a connection that is silent. */
void probe(int fd);

/* door.c; in the engine's thread. */
void door_on_listener(struct relay_engine *engine, uint32_t index);
void door_on_event(struct relay_engine *engine, struct tunnel *tunnel, uint32_t events);
void door_on_deadline(struct relay_engine *engine, struct tunnel *tunnel);
void door_on_dialled(struct relay_engine *engine, struct tunnel *tunnel, int fd);
void door_on_dial_failed(struct relay_engine *engine, struct tunnel *tunnel, int error);
void door_take_commands(struct relay_engine *engine, struct queue *commanded, uint32_t listeners, bool stop_listening);
/* With the lock held, at the end of a round. */
void door_publish(struct relay_engine *engine);
void door_list_init(struct door_list *list);
/* With the lock held. */
bool door_has_news(const struct relay_engine *engine);
/* With the thread gone. */
void door_stop(struct relay_engine *engine);
void door_free(struct relay_engine *engine);

/* original_dst.c: for who knows of which family the connection is. 0, or a negative errno. */
int original_dst_of(int fd, bool v4, void *address, socklen_t size);

/* The tag in the low bits of what epoll gives back: a tunnel's client, its origin, an attempt, or a listener with its index above. */
#define EVENT_ATTEMPT 2u
#define EVENT_LISTENER 3u
#define EVENT_TAG_BITS 2
#define EVENT_TAGS 3u

/* direction.c */
enum pump_result {
  PUMP_WAIT, /* nothing to do until a socket is ready */
  PUMP_AGAIN, /* had its turn, has more */
  PUMP_ENDED, /* the tunnel is gone */
};
enum pump_result direction_pump(struct relay_engine *engine, struct tunnel *tunnel, int from);
void direction_discard(struct relay_engine *engine, struct direction *direction);

/* Many thousands may be idle at once. */
_Static_assert(sizeof(struct tunnel) <= 328, "a tunnel must stay small");

#endif

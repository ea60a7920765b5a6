/* Connections that the engine accepts itself, from their first byte until they are relayed, refused or handed over. */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD "CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
#define HEAD_BYTES ((uint32_t)(sizeof HEAD - 1))
#define ESTABLISHED "HTTP/1.1 200 yes\r\n\r\n"

static int listen_on_loopback(struct sockaddr_in *address, int backlog) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof *address;
  CHECK_EQUAL(bind(fd, (struct sockaddr *)address, size), 0);
  CHECK_EQUAL(listen(fd, backlog), 0);
  CHECK_EQUAL(getsockname(fd, (struct sockaddr *)address, &size), 0);
  return fd;
}

struct door_rig {
  struct rig rig;
  struct sockaddr_in door;
  struct sockaddr_in origin;
  int origin_listener;
};

static void door_open(struct door_rig *rig) {
  rig_open(&rig->rig, NULL);
  int fd = listen_on_loopback(&rig->door, 64);
  rig->origin_listener = listen_on_loopback(&rig->origin, 64);
  CHECK_EQUAL(relay_listen(rig->rig.engine, fd, RELAY_READS_CONNECT, ESTABLISHED, sizeof ESTABLISHED - 1), 0);
}

static void door_close(struct door_rig *rig) {
  rig_close(&rig->rig);
  close(rig->origin_listener);
}

static int arrive(struct door_rig *rig, const char *text) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_sec = 10};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  CHECK_EQUAL(connect(fd, (struct sockaddr *)&rig->door, sizeof rig->door), 0);
  if (text != NULL) send_all(fd, text, strlen(text));
  return fd;
}

struct told {
  struct relay_door_event event;
  char bytes[9000];
};

/* The next event, at most 10 s from now; its bytes are copied. */
static struct told *next_event(struct door_rig *rig) {
  static struct told told;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 10;
  pthread_mutex_lock(&rig->rig.lock);
  while (relay_drain_door(rig->rig.engine, &told.event, 1) == 0)
    CHECK_EQUAL(pthread_cond_timedwait(&rig->rig.ended, &rig->rig.lock, &until), 0);
  pthread_mutex_unlock(&rig->rig.lock);
  CHECK(told.event.byte_count < sizeof told.bytes);
  if (told.event.byte_count > 0) memcpy(told.bytes, told.event.bytes, told.event.byte_count);
  told.bytes[told.event.byte_count] = 0;
  relay_door_event_done(rig->rig.engine, &told.event);
  return &told;
}

static uint64_t expect_head(struct door_rig *rig) {
  struct told *told = next_event(rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_HEAD);
  CHECK(strncmp(told->bytes, HEAD, HEAD_BYTES) == 0);
  return told->event.id;
}

static int dial_origin(struct door_rig *rig, uint64_t id, const struct relay_door_connect *options, bool refused) {
  union relay_address address = {.v4 = rig->origin};
  if (refused) {
    int fd = listen_on_loopback(&address.v4, 1); /* a port that nobody has */
    close(fd);
  }
  struct relay_dial_options dial = {.addresses = &address, .count = 1, .dial_ms = 5000, .stagger_ms = 250};
  return relay_door_connect(rig->rig.engine, id, &dial, options);
}

static const struct relay_door_connect PLAIN = {.head_bytes = HEAD_BYTES, .opening_ms = 5000, .held_bytes = 65536};

static int accept_origin(struct door_rig *rig) {
  int fd = accept4(rig->origin_listener, NULL, NULL, SOCK_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

static void a_refused_connect_has_its_answer_and_its_end(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD "early bytes are dropped");
  uint64_t id = expect_head(&rig);
  CHECK_EQUAL(relay_door_carry(rig.rig.engine, id, 0, 0), -EINVAL); /* there is no origin */
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "HTTP/1.1 403 no\r\n\r\n", 19), 0);
  CHECK(relay_door_reply(rig.rig.engine, id, "again", 5) < 0);
  expect_text(client, "HTTP/1.1 403 no\r\n\r\n");
  expect_eof(client);
  close(client);
  door_close(&rig);
}

static void the_opening_reaches_the_origin_once_it_is_carried_and_not_before(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD "first,");
  uint64_t id = expect_head(&rig);
  CHECK_EQUAL(dial_origin(&rig, id, &PLAIN, false), 0);
  int origin = accept_origin(&rig);
  expect_text(client, ESTABLISHED);
  send_all(client, "second,", 7);
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_OPENING);
  CHECK_EQUAL(told->event.id, id);
  CHECK_EQUAL(told->event.address, 0);
  CHECK(strcmp(told->bytes, "second,") == 0); /* what came with the head was told with it */
  char byte;
  CHECK_EQUAL(recv(origin, &byte, 1, MSG_DONTWAIT), -1);
  CHECK_EQUAL(relay_door_more(rig.rig.engine, id), 0);
  send_all(client, "third", 5);
  told = next_event(&rig);
  CHECK(strcmp(told->bytes, "third") == 0);
  CHECK_EQUAL(recv(origin, &byte, 1, MSG_DONTWAIT), -1);
  CHECK_EQUAL(relay_door_carry(rig.rig.engine, id, 0, 0), 0);
  expect_text(origin, "first,second,third");
  send_all(origin, "back", 4);
  expect_text(client, "back");
  send_all(client, "forth", 5);
  expect_text(origin, "forth");
  shutdown(client, SHUT_WR);
  expect_eof(origin);
  close(origin);
  expect_eof(client);
  close(client);
  struct relay_completion end = rig_wait(&rig.rig);
  CHECK_EQUAL(end.id, id);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_CLIENT);
  CHECK_EQUAL(end.bytes_up, 18 + 5);
  CHECK_EQUAL(end.bytes_down, 4);
  CHECK_EQUAL(end.fd, -1);
  door_close(&rig);
}

static void an_opening_that_is_known_is_not_waited_for(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  struct relay_door_connect judged = PLAIN;
  judged.judged = true;
  CHECK_EQUAL(dial_origin(&rig, id, &judged, false), 0);
  int origin = accept_origin(&rig);
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_CARRIED);
  CHECK_EQUAL(told->event.id, id);
  CHECK_EQUAL(told->event.address, 0);
  send_all(origin, "SSH-2.0", 7);
  expect_text(client, ESTABLISHED "SSH-2.0");
  reset_close(origin);
  expect_reset(client);
  close(client);
  CHECK_EQUAL(rig_wait(&rig.rig).ended_by, RELAY_ENDED_ORIGIN);
  door_close(&rig);
}

static void no_end_is_told_before_its_beginning(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  struct relay_door_connect judged = PLAIN;
  judged.judged = true;
  CHECK_EQUAL(dial_origin(&rig, id, &judged, false), 0);
  int origin = accept_origin(&rig);
  expect_text(client, ESTABLISHED);
  reset_close(origin);
  expect_reset(client);
  sleep_ms(20); /* it is published by now */
  struct relay_completion end;
  CHECK_EQUAL(relay_drain_completions(rig.rig.engine, &end, 1), 0);
  CHECK_EQUAL(next_event(&rig)->event.kind, RELAY_DOOR_CARRIED);
  CHECK_EQUAL(rig_wait(&rig.rig).id, id);
  close(client);
  door_close(&rig);
}

static void what_is_no_whole_connect_is_handed_over_untouched(void) {
  struct door_rig rig;
  door_open(&rig);
  const char *others[] = {"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n", "CONNECT origin.exam", "connect x:1 HTTP/1.1\r\n\r\n",
                          "\r\n" HEAD, "CONNECT", "CONNECT origin.example:443 HTTP/1.1\n\n"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    int client = arrive(&rig, others[i]);
    struct told *told = next_event(&rig);
    CHECK_EQUAL(told->event.kind, RELAY_DOOR_HANDED);
    CHECK_EQUAL(told->event.id, 0);
    CHECK(strcmp(told->bytes, others[i]) == 0);
    send_all(told->event.fd, "from its new owner", 18);
    expect_text(client, "from its new owner");
    close(told->event.fd);
    close(client);
  }
  door_close(&rig);
}

static void who_says_nothing_is_handed_over_and_who_leaves_without_a_word_is_forgotten(void) {
  struct door_rig rig;
  door_open(&rig);
  int mute = arrive(&rig, NULL);
  close(arrive(&rig, NULL));
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_HANDED);
  CHECK_EQUAL(told->event.byte_count, 0);
  close(told->event.fd);
  expect_eof(mute);
  close(mute);
  door_close(&rig);
}

static void a_connect_that_is_asked_for_is_handed_over_with_all_of_it(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD "and more");
  uint64_t id = expect_head(&rig);
  CHECK_EQUAL(relay_door_take(rig.rig.engine, id), 0);
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_HANDED);
  CHECK_EQUAL(told->event.id, id);
  CHECK(strcmp(told->bytes, HEAD "and more") == 0);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "", 0), -ENOENT);
  close(told->event.fd);
  expect_eof(client);
  close(client);
  door_close(&rig);
}

static void an_origin_that_refuses_is_told_of_and_the_client_can_still_be_answered(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  CHECK_EQUAL(dial_origin(&rig, id, &PLAIN, true), 0);
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_DIAL_FAILED);
  CHECK_EQUAL(told->event.error, ECONNREFUSED);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "HTTP/1.1 502 x\r\n\r\n", 18), 0);
  expect_text(client, "HTTP/1.1 502 x\r\n\r\n");
  expect_eof(client);
  close(client);
  door_close(&rig);
}

static void a_client_that_breaks_off_before_its_opening_is_gone(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  CHECK_EQUAL(dial_origin(&rig, id, &PLAIN, false), 0);
  int origin = accept_origin(&rig);
  expect_text(client, ESTABLISHED);
  reset_close(client);
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_GONE);
  CHECK_EQUAL(told->event.id, id);
  expect_reset(origin);
  close(origin);
  door_close(&rig);
}

static void a_client_that_ends_before_its_opening_says_so(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  CHECK_EQUAL(dial_origin(&rig, id, &PLAIN, false), 0);
  int origin = accept_origin(&rig);
  shutdown(client, SHUT_WR);
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_OPENING);
  CHECK(told->event.ended);
  CHECK_EQUAL(relay_door_more(rig.rig.engine, id), -EINVAL);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "", 0), 0);
  expect_text(client, ESTABLISHED);
  expect_eof(client);
  close(client);
  expect_reset(origin);
  close(origin);
  door_close(&rig);
}

static void an_opening_has_a_deadline(void) {
  struct door_rig rig;
  door_open(&rig);
  int client = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  struct relay_door_connect hasty = PLAIN;
  hasty.opening_ms = 100;
  CHECK_EQUAL(dial_origin(&rig, id, &hasty, false), 0);
  CHECK_EQUAL(next_event(&rig)->event.kind, RELAY_DOOR_OPENING_TIMEOUT);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "alert", 5), 0);
  expect_text(client, ESTABLISHED "alert");
  close(client);
  door_close(&rig);
}

static void connections_past_the_limit_are_closed_and_counted(void) {
  struct door_rig rig;
  door_open(&rig);
  relay_limit_clients(rig.rig.engine, 1);
  int first = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  int second = arrive(&rig, NULL);
  expect_eof(second);
  close(second);
  CHECK_EQUAL(relay_take_dropped(rig.rig.engine), 1);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "", 0), 0);
  expect_eof(first);
  close(first);
  door_close(&rig);
}

static void the_end_of_listening_lets_those_be_that_were_asked_about(void) {
  struct door_rig rig;
  door_open(&rig);
  int asked = arrive(&rig, HEAD);
  uint64_t id = expect_head(&rig);
  int mute = arrive(&rig, NULL);
  sleep_ms(20);
  relay_stop_listening(rig.rig.engine);
  expect_eof(mute);
  close(mute);
  int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQUAL(connect(late, (struct sockaddr *)&rig.door, sizeof rig.door), -1);
  close(late);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "last", 4), 0);
  expect_text(asked, "last");
  close(asked);
  door_close(&rig);
}

static void the_end_of_the_engine_leaves_nothing_open_whatever_state_it_is_in(void) {
  struct door_rig rig;
  door_open(&rig);
  int unasked = arrive(&rig, "GET / HTTP/1.1\r\n\r\n"); /* handed over to nobody */
  sleep_ms(20);
  int dialled = arrive(&rig, HEAD);
  while (true) {
    struct told *told = next_event(&rig);
    if (told->event.kind == RELAY_DOOR_HANDED) {
      close(told->event.fd);
      continue;
    }
    CHECK_EQUAL(dial_origin(&rig, told->event.id, &PLAIN, false), 0);
    break;
  }
  int origin = accept_origin(&rig);
  expect_text(dialled, ESTABLISHED);
  int undrained = arrive(&rig, HEAD), stranger = arrive(&rig, "GET / HTTP/1.1\r\n\r\n"), mute = arrive(&rig, NULL);
  sleep_ms(20);
  relay_engine_stop(rig.rig.engine, 1);
  int gone = 0, handed = 0;
  struct relay_door_event event;
  while (relay_drain_door(rig.rig.engine, &event, 1) == 1) {
    gone += event.kind == RELAY_DOOR_GONE;
    handed += event.kind == RELAY_DOOR_HANDED;
    relay_door_event_done(rig.rig.engine, &event);
    if (event.fd >= 0) close(event.fd);
  }
  CHECK_EQUAL(gone, 2);
  CHECK_EQUAL(handed, 1);
  close(unasked);
  close(dialled);
  close(origin);
  close(undrained);
  close(stranger);
  close(mute);
  door_close(&rig);
}

static void undrained_events_are_freed(void) {
  struct door_rig rig;
  door_open(&rig);
  int one = arrive(&rig, HEAD), two = arrive(&rig, "GET / HTTP/1.1\r\n\r\n");
  sleep_ms(50);
  door_close(&rig);
  close(one);
  close(two);
}

/* Clients that come, say something and break off at every step, against answers that do not wait for each other. */

struct storm {
  struct door_rig *rig;
  uint32_t seed;
  _Atomic bool over;
};

static uint64_t notifications(struct door_rig *rig) {
  pthread_mutex_lock(&rig->rig.lock);
  uint64_t count = rig->rig.notifications;
  pthread_mutex_unlock(&rig->rig.lock);
  return count;
}

static void await_notification(struct door_rig *rig, uint64_t before) {
  for (int i = 0; i < 10000 && notifications(rig) == before; i++) sleep_ms(1);
  CHECK(notifications(rig) > before);
}

/* A host that drained both lists once would never hear of what came to the first while it drained the second. */
static void what_comes_to_one_list_while_the_other_is_drained_is_not_forgotten(void) {
  struct door_rig rig;
  door_open(&rig);
  struct ends ended = tunnel_open(&rig.rig, NULL), open = tunnel_open(&rig.rig, NULL);
  CHECK_EQUAL(relay_kill(rig.rig.engine, ended.id, 0), 1);
  await_notification(&rig, 0);
  uint64_t before = notifications(&rig);
  struct relay_door_event event;
  CHECK_EQUAL(relay_drain_door(rig.rig.engine, &event, 1), 0);
  int client = arrive(&rig, HEAD);
  for (int i = 0; i < 10000 && relay_clients(rig.rig.engine) < 2; i++) sleep_ms(1);
  /* The engine has seen the client; what it is asked now, it does after it has told of that. */
  CHECK_EQUAL(relay_kill(rig.rig.engine, open.id, 0), 1);
  expect_reset(open.client);
  CHECK_EQUAL(notifications(&rig), before);
  struct relay_completion completions[4];
  for (size_t count = 0; count < 2;) count += relay_drain_completions(rig.rig.engine, completions, 4);
  CHECK(!relay_is_drained(rig.rig.engine));
  uint64_t id = expect_head(&rig);
  CHECK(relay_is_drained(rig.rig.engine));
  int second = arrive(&rig, HEAD);
  await_notification(&rig, before);
  uint64_t other = expect_head(&rig);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "", 0), 0);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, other, "", 0), 0);
  ends_close(&ended);
  ends_close(&open);
  close(client);
  close(second);
  door_close(&rig);
}

static void *storm_clients(void *argument) {
  struct storm *storm = argument;
  uint32_t state = storm->seed;
  for (int i = 0; i < 150; i++) {
    state = state * 1664525u + 1013904223u;
    uint32_t choice = (state >> 10) % 6;
    int fd = arrive(storm->rig, choice == 0 ? "GET / HTTP/1.1\r\n\r\n" : choice == 1 ? NULL : choice == 2 ? HEAD "early" : HEAD);
    char bytes[256];
    if (choice >= 3) (void)recv(fd, bytes, sizeof bytes, 0);
    if (choice >= 4) (void)send(fd, "opening", 7, MSG_NOSIGNAL);
    if (choice == 5) (void)recv(fd, bytes, sizeof bytes, 0);
    if ((state >> 20) % 2 == 0) reset_close(fd);
    else close(fd);
  }
  atomic_store(&storm->over, true);
  return NULL;
}

static void *storm_origins(void *argument) {
  struct door_rig *rig = argument;
  for (;;) {
    int fd = accept4(rig->origin_listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return NULL;
    (void)send(fd, "hello", 5, MSG_NOSIGNAL);
    close(fd);
  }
}

static void a_storm_of_clients_leaves_nothing_behind(void) {
  struct door_rig rig;
  door_open(&rig);
  pthread_t clients[3], origins;
  struct storm storms[3];
  CHECK_EQUAL(pthread_create(&origins, NULL, storm_origins, &rig), 0);
  for (uint32_t i = 0; i < 3; i++) {
    storms[i].rig = &rig;
    storms[i].seed = 77 + i;
    atomic_init(&storms[i].over, false);
    CHECK_EQUAL(pthread_create(&clients[i], NULL, storm_clients, &storms[i]), 0);
  }
  uint32_t state = 9;
  uint64_t quiet_since = clock_ms();
  struct relay_door_connect hasty = PLAIN;
  hasty.opening_ms = 50;
  int carried = 0; /* and not ended: no end comes before its beginning was told */
  while (!storms[0].over || !storms[1].over || !storms[2].over || clock_ms() - quiet_since < 400) {
    struct relay_completion ends[16];
    carried -= (int)relay_drain_completions(rig.rig.engine, ends, 16);
    CHECK(carried >= 0);
    struct relay_door_event event;
    if (relay_drain_door(rig.rig.engine, &event, 1) == 0) {
      sleep_ms(1);
      continue;
    }
    quiet_since = clock_ms();
    state = state * 1664525u + 1013904223u;
    uint64_t id = event.id;
    enum relay_door_event_kind kind = event.kind;
    relay_door_event_done(rig.rig.engine, &event);
    uint32_t choice = (state >> 12) % 8;
    if (event.fd >= 0) close(event.fd);
    else if (kind == RELAY_DOOR_HEAD && choice == 0) CHECK_EQUAL(relay_door_take(rig.rig.engine, id), 0);
    else if (kind == RELAY_DOOR_HEAD && choice > 2) {
      hasty.judged = choice == 7;
      CHECK_EQUAL(dial_origin(&rig, id, &hasty, choice == 3), 0);
    } else if (kind == RELAY_DOOR_OPENING && choice > 1) {
      CHECK_EQUAL(relay_door_carry(rig.rig.engine, id, 0, 0), 0);
      carried++;
    } else if (kind == RELAY_DOOR_CARRIED) carried++;
    else if (kind == RELAY_DOOR_OPENING && !event.ended) CHECK_EQUAL(relay_door_more(rig.rig.engine, id), 0);
    else if (kind != RELAY_DOOR_GONE) CHECK_EQUAL(relay_door_reply(rig.rig.engine, id, "no", 2), 0);
  }
  for (int i = 0; i < 3; i++) pthread_join(clients[i], NULL);
  shutdown(rig.origin_listener, SHUT_RDWR);
  pthread_join(origins, NULL);
  door_close(&rig);
}

/* A listener for redirected TLS beside the one for CONNECT; whoever arrives now arrives there. */
static void tls_door_open(struct door_rig *rig) {
  door_open(rig);
  int fd = listen_on_loopback(&rig->door, 64);
  CHECK_EQUAL(relay_listen(rig->rig.engine, fd, RELAY_READS_TLS, "", 0), 1);
}

#define RECORD "\x16\x03\x01\x01\x02" "hello"
#define RECORD_REST 0x0102

/* A record of the length that its header says, with text behind it. */
static void fill_record(char *record, const char *behind) {
  memcpy(record, RECORD, 10);
  memset(record + 10, 'h', RECORD_REST - 5);
  strcpy(record + 5 + RECORD_REST, behind);
}

static void a_whole_tls_record_is_asked_about_with_where_it_was_going(void) {
  struct door_rig rig;
  char record[300];
  tls_door_open(&rig);
  fill_record(record, "behind");
  int client = arrive(&rig, NULL);
  send_all(client, record, strlen(record));
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_HEAD);
  CHECK_EQUAL(told->event.listener, 1);
  CHECK(strcmp(told->bytes, record) == 0);
  /* Nothing redirected it: the kernel says so, or names the listener itself. */
  if (told->event.original_error == 0) CHECK_EQUAL(told->event.original.v4.sin_port, rig.door.sin_port);
  else CHECK(told->event.original_error < 0);
  struct relay_door_connect all = {.judged = true, .opening_ms = 5000, .held_bytes = 65536};
  CHECK_EQUAL(dial_origin(&rig, told->event.id, &all, false), 0);
  int origin = accept_origin(&rig);
  CHECK_EQUAL(next_event(&rig)->event.kind, RELAY_DOOR_CARRIED);
  char byte;
  CHECK_EQUAL(recv(client, &byte, 1, MSG_DONTWAIT), -1); /* nobody says 200 to TLS */
  expect_text(origin, record);
  send_all(origin, "server hello", 12);
  expect_text(client, "server hello");
  close(origin);
  expect_eof(client);
  close(client);
  CHECK_EQUAL(rig_wait(&rig.rig).ended_by, RELAY_ENDED_ORIGIN);
  door_close(&rig);
}

static void a_tls_record_in_pieces_is_waited_for_and_told_of_once(void) {
  struct door_rig rig;
  char record[300];
  tls_door_open(&rig);
  fill_record(record, "");
  int client = arrive(&rig, NULL);
  size_t pieces[] = {1, 3, 2, 100, strlen(record) - 106};
  for (size_t i = 0, at = 0; i < sizeof pieces / sizeof *pieces; at += pieces[i++]) {
    send_all(client, record + at, pieces[i]);
    sleep_ms(5);
  }
  struct told *told = next_event(&rig);
  CHECK_EQUAL(told->event.kind, RELAY_DOOR_HEAD);
  CHECK(strcmp(told->bytes, record) == 0);
  CHECK_EQUAL(relay_door_reply(rig.rig.engine, told->event.id, "\x15\x03\x01", 3), 0);
  expect_text(client, "\x15\x03\x01");
  expect_eof(client);
  close(client);
  door_close(&rig);
}

static void what_is_no_tls_record_is_handed_over_as_is_one_that_stays_unfinished(void) {
  struct door_rig rig;
  tls_door_open(&rig);
  const char *others[] = {HEAD, "GET / HTTP/1.1\r\n\r\n", "\x15\x03\x01\x01\x01", "\x16\x03\x01\x7f\xff too long", RECORD, "\x16"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    int client = arrive(&rig, others[i]);
    struct told *told = next_event(&rig);
    CHECK_EQUAL(told->event.kind, RELAY_DOOR_HANDED);
    CHECK_EQUAL(told->event.listener, 1);
    CHECK(strcmp(told->bytes, others[i]) == 0);
    close(told->event.fd);
    close(client);
  }
  close(arrive(&rig, RECORD)); /* has left before it had said enough */
  door_close(&rig);
}

static void there_are_so_many_listeners_and_no_more(void) {
  struct door_rig rig;
  struct sockaddr_in address;
  tls_door_open(&rig);
  CHECK_EQUAL(relay_listen(rig.rig.engine, listen_on_loopback(&address, 1), RELAY_READS_TLS, "", 0), 2);
  CHECK_EQUAL(relay_listen(rig.rig.engine, listen_on_loopback(&address, 1), RELAY_READS_TLS, "", 0), 3);
  int fd = listen_on_loopback(&address, 1);
  CHECK_EQUAL(relay_listen(rig.rig.engine, fd, RELAY_READS_TLS, "", 0), -ENOSPC);
  close(fd);
  door_close(&rig);
}

/* Answers a client that has just arrived, by whichever of the two has it: 0 or 1. */
static int who_is_asked(struct door_rig *rigs) {
  for (int tries = 0; tries < 10000; tries++) {
    for (int i = 0; i < 2; i++) {
      struct relay_door_event event;
      if (relay_drain_door(rigs[i].rig.engine, &event, 1) == 0) continue;
      CHECK_EQUAL(event.kind, RELAY_DOOR_HEAD);
      CHECK_EQUAL(relay_door_reply(rigs[i].rig.engine, event.id, "no", 2), 0);
      relay_door_event_done(rigs[i].rig.engine, &event);
      return i;
    }
    usleep(1000);
  }
  CHECK(!"nobody was asked");
  return -1;
}

static void two_that_wait_at_one_socket_take_turns(void) {
  struct door_rig rigs[2];
  door_open(&rigs[0]);
  door_open(&rigs[1]);
  int fd = listen_on_loopback(&rigs[0].door, 64);
  int same = dup(fd);
  CHECK_EQUAL(relay_listen(rigs[0].rig.engine, fd, RELAY_READS_CONNECT, ESTABLISHED, sizeof ESTABLISHED - 1), 1);
  CHECK_EQUAL(relay_listen(rigs[1].rig.engine, same, RELAY_READS_CONNECT, ESTABLISHED, sizeof ESTABLISHED - 1), 1);
  int asked[2] = {0, 0}, last = -1;
  /* Both are there once both have been asked. */
  for (int counted = 0, arrived = 0; counted < 20; arrived++) {
    CHECK(arrived < 200);
    int client = arrive(&rigs[0], HEAD);
    int who = who_is_asked(rigs);
    if (counted > 0) CHECK(who != last);
    last = who;
    asked[who]++;
    if (asked[0] > 0 && asked[1] > 0) counted++;
    expect_text(client, "no");
    close(client);
  }
  door_close(&rigs[1]);
  /* The one that is left has them all. */
  for (int i = 0; i < 4; i++) {
    int client = arrive(&rigs[0], HEAD);
    uint64_t id = expect_head(&rigs[0]);
    CHECK_EQUAL(relay_door_reply(rigs[0].rig.engine, id, "no", 2), 0);
    expect_text(client, "no");
    close(client);
  }
  door_close(&rigs[0]);
}

const struct test_case door_cases[] = {
    {"a refused CONNECT has its answer and its end", a_refused_connect_has_its_answer_and_its_end},
    {"the opening reaches the origin once it is carried, and not before", the_opening_reaches_the_origin_once_it_is_carried_and_not_before},
    {"an opening that is known is not waited for", an_opening_that_is_known_is_not_waited_for},
    {"no end is told before its beginning", no_end_is_told_before_its_beginning},
    {"what is no whole CONNECT is handed over untouched", what_is_no_whole_connect_is_handed_over_untouched},
    {"who says nothing is handed over, and who leaves without a word is forgotten",
     who_says_nothing_is_handed_over_and_who_leaves_without_a_word_is_forgotten},
    {"a CONNECT that is asked for is handed over with all of it", a_connect_that_is_asked_for_is_handed_over_with_all_of_it},
    {"an origin that refuses is told of, and the client can still be answered",
     an_origin_that_refuses_is_told_of_and_the_client_can_still_be_answered},
    {"a client that breaks off before its opening is gone", a_client_that_breaks_off_before_its_opening_is_gone},
    {"a client that ends before its opening says so", a_client_that_ends_before_its_opening_says_so},
    {"an opening has a deadline", an_opening_has_a_deadline},
    {"connections past the limit are closed and counted", connections_past_the_limit_are_closed_and_counted},
    {"the end of listening lets those be that were asked about", the_end_of_listening_lets_those_be_that_were_asked_about},
    {"the end of the engine leaves nothing open, whatever state it is in",
     the_end_of_the_engine_leaves_nothing_open_whatever_state_it_is_in},
    {"undrained events are freed", undrained_events_are_freed},
    {"what comes to one list while the other is drained is not forgotten",
     what_comes_to_one_list_while_the_other_is_drained_is_not_forgotten},
    {"a whole TLS record is asked about, with where it was going", a_whole_tls_record_is_asked_about_with_where_it_was_going},
    {"a TLS record in pieces is waited for and told of once", a_tls_record_in_pieces_is_waited_for_and_told_of_once},
    {"what is no TLS record is handed over, as is one that stays unfinished",
     what_is_no_tls_record_is_handed_over_as_is_one_that_stays_unfinished},
    {"there are so many listeners and no more", there_are_so_many_listeners_and_no_more},
    {"two that wait at one socket take turns", two_that_wait_at_one_socket_take_turns},
    {"a storm of clients leaves nothing behind", a_storm_of_clients_leaves_nothing_behind},
    {NULL, NULL},
};

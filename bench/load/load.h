/*
 * Load generator and origin for bench/: one thread, epoll, so that neither is the bottleneck
 * (a generator in JavaScript would be). For measuring on one machine over loopback only.
 * Build: `cc -std=c11 -O2 -o load` and every .c file of this folder.
 */
#ifndef SALLYPORT_LOAD_H
#define SALLYPORT_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
  const char *mode;
  struct sockaddr_in proxy;  /* where to connect: the proxy, or the origin itself with `direct` */
  const char *target;        /* `host:port` for CONNECT or the URL; its host is the SNI */
  bool direct;               /* no CONNECT: what the machine itself costs */
  bool hello;                /* begin the tunnel with a ClientHello: gateways that judge openings wait for one */
  bool keep_alive;           /* request: connections are reused */
  bool up;                   /* bulk: client to origin */
  uint32_t concurrency;
  uint32_t tunnels;
  uint64_t count;
  uint64_t bytes;            /* bulk: for each tunnel */
  uint32_t message_bytes;    /* bulk up, and what the origin's source writes at once */
  uint32_t rate;             /* setup, request: starts a second, 0 for as fast as `concurrency` allows */
  struct in_addr bind;       /* origin: where it listens, loopback unless it is said */
  uint16_t echo_port, source_port, sink_port, http_port;
  uint32_t body_bytes;       /* of the origin's HTTP answers */
};

/* What a run found; printed as one JSON line. */
struct result {
  uint64_t ok;
  uint64_t refused; /* answered with another status than 200 */
  uint64_t failed;  /* reset, closed early, no connection */
  uint64_t bytes;
  double wall_ms;
  uint32_t *latency_us;
  size_t latencies;
  int first_status; /* of the refused ones: 403 from a proxy that really denies */
};

uint64_t now_us(void);
int connect_to(const struct sockaddr_in *address);
/* Resets: a set-up test would fill the port range with TIME_WAIT. */
void reset_close(int fd);
void die(const char *what);

/* A plausible ClientHello with one server name; returns its length. */
size_t write_hello(uint8_t *out, size_t capacity, const char *target);

void latency_init(struct result *result, uint64_t count);
void latency_add(struct result *result, uint64_t us);
void print_result(const struct options *options, struct result *result);

void run_origin(const struct options *options);
void run_setup(const struct options *options, struct result *result);
void run_tunnels(const struct options *options, struct result *result); /* bulk and idle */
void run_requests(const struct options *options, struct result *result);

/*
 * The head of an answer, gathered byte by byte. Returns the status once it is whole, 0 before,
 * -1 when it is none. `content_length` is set, 0 where the field is missing.
 */
struct head {
  char text[2048];
  uint32_t length;
};
int head_add(struct head *head, const char *bytes, size_t count, size_t *used, uint64_t *content_length);

#endif

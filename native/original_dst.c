#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h; both are 80, and defined here
 * because those headers are not on every build machine. */
#define ORIGINAL_DST 80

int original_dst_of(int fd, bool v4, void *address, socklen_t size) {
  memset(address, 0, size);
  socklen_t room = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  if (room > size) room = size;
  if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, address, &room) != 0) return -errno;
  ((struct sockaddr *)address)->sa_family = v4 ? AF_INET : AF_INET6;
  return 0;
}

/*
 * An IPv4 client of a dual-stack listener has an AF_INET6 socket whose connection is in the
 * IPv4 tables, so the family of the *address* chooses: a mapped local address asks IPv4.
 * Returns 0, or -ENOENT (not redirected, or no connection tracking), -ENOPROTOOPT and the like.
 * Where connection tracking is on but nothing was redirected the kernel answers with the
 * listener's own address: the caller must refuse to dial itself.
 */
int relay_original_dst(int fd, struct sockaddr_storage *address) {
  struct sockaddr_storage local;
  memset(&local, 0, sizeof local);
  socklen_t size = sizeof local;
  if (getsockname(fd, (struct sockaddr *)&local, &size) != 0) return -errno;
  bool v4 = local.ss_family == AF_INET;
  if (local.ss_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&local;
    v4 = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
  } else if (!v4) {
    return -EAFNOSUPPORT;
  }
  return original_dst_of(fd, v4, address, sizeof *address);
}

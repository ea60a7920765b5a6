#define _GNU_SOURCE
#include "load.h"

#include <string.h>

static uint8_t *put(uint8_t *at, const void *bytes, size_t count) {
  memcpy(at, bytes, count);
  return at + count;
}

static uint8_t *put16(uint8_t *at, size_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
  return at + 2;
}

/* RFC 8446 section 4.1.2, about what a TLS 1.3 client sends: an X25519 share, no GREASE, no padding. */
size_t write_hello(uint8_t *out, size_t capacity, const char *target) {
  const char *colon = strrchr(target, ':');
  size_t name = colon == NULL ? strlen(target) : (size_t)(colon - target);
  if (name + 512 > capacity) return 0;
  uint8_t *at = put(out, "\x16\x03\x01\0\0\x01\0\0\0\x03\x03", 11);
  for (int i = 0; i < 32; i++) *at++ = (uint8_t)(i * 7 + 1); /* random */
  *at++ = 32;
  for (int i = 0; i < 32; i++) *at++ = (uint8_t)(i * 5 + 3); /* session id */
  at = put(at, "\0\x08\x13\x01\x13\x02\x13\x03\xc0\x2b", 10);
  at = put(at, "\x01\0", 2);
  uint8_t *extensions = at;
  at += 2;
  at = put16(put16(at, 0), name + 5); /* server_name */
  at = put16(at, name + 3);
  *at++ = 0;
  at = put(put16(at, name), target, name);
  at = put(at, "\0\x0a\0\x04\0\x02\0\x1d", 8);             /* supported_groups: x25519 */
  at = put(at, "\0\x0d\0\x08\0\x06\x04\x03\x08\x04\x04\x01", 12); /* signature_algorithms */
  at = put(at, "\0\x10\0\x0b\0\x09\x08http/1.1", 15);      /* ALPN */
  at = put(at, "\0\x2b\0\x05\x04\x03\x04\x03\x03", 9);     /* supported_versions: 1.3, 1.2 */
  at = put(at, "\0\x33\0\x26\0\x24\0\x1d\0\x20", 10);      /* key_share */
  for (int i = 0; i < 32; i++) *at++ = (uint8_t)(i * 3 + 9);
  size_t total = (size_t)(at - out);
  put16(extensions, total - (size_t)(extensions - out) - 2);
  put16(out + 3, total - 5);
  put16(out + 7, total - 9);
  return total;
}

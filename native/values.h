/* JavaScript values in and out of C, for addon.c alone. */
#ifndef SALLYPORT_VALUES_H
#define SALLYPORT_VALUES_H

#define NAPI_VERSION 8
#include <node_api.h>

#include "relay.h"

napi_value throw_type_error(napi_env env, const char *message);
napi_value number(napi_env env, double value);
napi_value boolean(napi_env env, bool value);

/* A Uint8Array (Buffers are), or null or undefined for none. Points into JavaScript's memory. False: something else. */
bool read_bytes(napi_env env, napi_value value, const void **bytes, uint32_t *count);

/* A Float64Array of at least `fields`, or NULL. */
double *read_doubles(napi_env env, napi_value value, size_t fields);

/* "192.0.2.1" or "192.0.2.1,2001:db8::1": canonical text, and nothing that inet_pton does not take.
 * Returns how many, 0 for anything else. */
uint32_t read_addresses(napi_env env, napi_value value, uint16_t port, union relay_address *addresses);

/* Of `createRelay`; a missing property is the default. False: one is of another type. */
bool read_options(napi_env env, napi_value object, struct relay_options *options);

#endif

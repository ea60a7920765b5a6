#define _GNU_SOURCE
#include "values.h"

#include <arpa/inet.h>
#include <string.h>

napi_value throw_type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, NULL, message);
  return NULL;
}

napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

bool read_bytes(napi_env env, napi_value value, const void **bytes, uint32_t *count) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  *bytes = NULL;
  *count = 0;
  if (type == napi_null || type == napi_undefined) return true;
  bool is_typed = false;
  napi_is_typedarray(env, value, &is_typed);
  if (!is_typed) return false;
  napi_typedarray_type kind;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &kind, &length, &data, NULL, NULL) != napi_ok) return false;
  if (kind != napi_uint8_array || length > UINT32_MAX) return false;
  *bytes = data;
  *count = (uint32_t)length;
  return true;
}

double *read_doubles(napi_env env, napi_value value, size_t fields) {
  bool is_typed = false;
  napi_is_typedarray(env, value, &is_typed);
  napi_typedarray_type kind;
  size_t length;
  void *data;
  if (!is_typed || napi_get_typedarray_info(env, value, &kind, &length, &data, NULL, NULL) != napi_ok) return NULL;
  return kind == napi_float64_array && length >= fields ? data : NULL;
}

uint32_t read_addresses(napi_env env, napi_value value, uint16_t port, union relay_address *addresses) {
  char text[RELAY_DIAL_ADDRESSES * (INET6_ADDRSTRLEN + 1)];
  size_t length;
  if (napi_get_value_string_latin1(env, value, text, sizeof text, &length) != napi_ok) return 0;
  /* A text that was cut, or holds a NUL, is shorter or longer here than it was there. */
  if (length + 1 == sizeof text || strlen(text) != length) return 0;
  memset(addresses, 0, RELAY_DIAL_ADDRESSES * sizeof *addresses);
  uint32_t count = 0;
  char *rest = NULL;
  for (char *one = strtok_r(text, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest), count++) {
    if (count == RELAY_DIAL_ADDRESSES) return 0;
    union relay_address *address = &addresses[count];
    if (inet_pton(AF_INET, one, &address->v4.sin_addr) == 1) {
      address->v4.sin_family = AF_INET;
      address->v4.sin_port = htons(port);
    } else if (inet_pton(AF_INET6, one, &address->v6.sin6_addr) == 1) {
      address->v6.sin6_family = AF_INET6;
      address->v6.sin6_port = htons(port);
    } else {
      return 0;
    }
  }
  return count;
}

static bool read_option(napi_env env, napi_value object, const char *name, uint32_t *value) {
  napi_value property;
  napi_valuetype type;
  if (napi_get_named_property(env, object, name, &property) != napi_ok) return false;
  napi_typeof(env, property, &type);
  return type == napi_undefined || napi_get_value_uint32(env, property, value) == napi_ok;
}

bool read_options(napi_env env, napi_value object, struct relay_options *options) {
  napi_value splice;
  napi_valuetype type;
  napi_typeof(env, object, &type);
  if (type != napi_object || !read_option(env, object, "maxPipes", &options->max_pipes) ||
      !read_option(env, object, "maxTunnels", &options->max_tunnels))
    return false;
  napi_get_named_property(env, object, "splice", &splice);
  napi_typeof(env, splice, &type);
  if (type == napi_undefined) return true;
  bool on;
  if (napi_get_value_bool(env, splice, &on) != napi_ok) return false;
  options->no_splice = !on;
  return true;
}

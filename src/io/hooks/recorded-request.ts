/** A request that notes which of its fields are read. */
export interface RecordedRequest {
  readonly request: object
  /** Fields read so far, by the names that `HookQuestion` knows; undefined where it cannot be told any more. */
  readonly read: () => string[] | undefined
}

/**
 * Wraps a request, as it came, so that every way of looking at it is noted: a property, `in`, a listing of names. It is frozen all the way
 * down, and has no prototype to lend it fields it does not have.
 */
export function recordReads(fields: Readonly<Record<string, unknown>>): RecordedRequest {
  const read = new Set<string>()
  let isListed = false
  const plain = withoutPrototype(fields)
  for (const name of ['headers', 'proxyHeaders']) plain[name] = recordedHeaders(name, fields[name], read)
  const request = new Proxy(Object.freeze(plain), {
    get: (target, name) => note(target, name),
    has: (target, name) => {
      note(target, name)
      return Reflect.has(target, name)
    },
    getOwnPropertyDescriptor: (target, name) => {
      note(target, name)
      return Reflect.getOwnPropertyDescriptor(target, name)
    },
    ownKeys: (target) => {
      isListed = true
      return Reflect.ownKeys(target)
    },
  })
  function note(target: object, name: string | symbol): unknown {
    // What is read of headers is noted there.
    if (typeof name === 'string' && name !== 'headers' && name !== 'proxyHeaders') read.add(name)
    return Reflect.get(target, name)
  }
  return { request, read: () => (isListed ? undefined : [...read]) }
}

function recordedHeaders(owner: string, fields: unknown, read: Set<string>): object {
  const plain = withoutPrototype(Object.fromEntries(fields as readonly [string, string][]))
  const note = (name: string | symbol) => {
    if (typeof name === 'string') read.add(`${owner}:${name}`)
  }
  return new Proxy(Object.freeze(plain), {
    get: (target, name) => {
      note(name)
      return Reflect.get(target, name)
    },
    has: (target, name) => {
      note(name)
      return Reflect.has(target, name)
    },
    getOwnPropertyDescriptor: (target, name) => {
      note(name)
      return Reflect.getOwnPropertyDescriptor(target, name)
    },
    ownKeys: (target) => {
      read.add(owner)
      return Reflect.ownKeys(target)
    },
  })
}

function withoutPrototype(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.assign(Object.create(null) as Record<string, unknown>, fields)
}

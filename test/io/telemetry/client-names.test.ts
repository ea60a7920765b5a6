import { describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../../src/core/audit-event.ts'
import { ClientNames } from '../../../src/io/telemetry/client-names.ts'

const EVENT: AuditEvent = {
  time: '2026-01-01T00:00:00.000Z',
  id: 'x',
  event: 'deny',
  kind: 'connect',
  listener: 'proxy',
  client: '10.0.0.7',
  clientPort: 50_000,
  gateway: 'g',
  policyHash: 'p',
}
const KEY = 'a-key-that-gateways-share'
const clientOf = (names: ClientNames, client = '10.0.0.7') => names.applied({ ...EVENT, client }).client

describe('the client in an audit line', () => {
  it('stands there as it is, by default', () => {
    expect(new ClientNames({ shown: 'keep', key: undefined }).applied(EVENT)).toBe(EVENT)
  })

  it('is left out with its port by `drop`, and nothing else is', () => {
    const { client: _, clientPort: __, ...rest } = EVENT
    expect(new ClientNames({ shown: 'drop', key: undefined }).applied(EVENT)).toEqual(rest)
  })

  it('becomes a pseudonym by `hash`, without its port', () => {
    const shown = new ClientNames({ shown: 'hash', key: undefined }).applied(EVENT)
    expect(shown.client).toMatch(/^hmac:[0-9a-f]{16}$/)
    expect(shown).not.toHaveProperty('clientPort')
    expect(JSON.stringify(shown)).not.toContain('10.0.0.7')
  })

  it('keeps its pseudonym while the gateway runs, and another client has another', () => {
    const names = new ClientNames({ shown: 'hash', key: undefined })
    expect(clientOf(names)).toBe(clientOf(names))
    expect(clientOf(names, '10.0.0.8')).not.toBe(clientOf(names))
  })

  it('has another pseudonym after each start, unless there is a key', () => {
    const own = () => clientOf(new ClientNames({ shown: 'hash', key: undefined }))
    const keyed = () => clientOf(new ClientNames({ shown: 'hash', key: KEY }))
    expect(own()).not.toBe(own())
    expect(keyed()).toBe(keyed())
    expect(keyed()).not.toBe(own())
  })

  it('is HMAC-SHA256 of the address, so that whoever has the key can find a client again', () => {
    // printf 10.0.0.7 | openssl dgst -sha256 -hmac a-key-that-gateways-share
    expect(clientOf(new ClientNames({ shown: 'hash', key: KEY }))).toBe('hmac:c89c747582ca7ff7')
  })

  it('takes a new key from a reload at once', () => {
    const names = new ClientNames({ shown: 'hash', key: KEY })
    const before = clientOf(names)
    names.configure({ shown: 'hash', key: `${KEY}-2` })
    expect(clientOf(names)).not.toBe(before)
    names.configure({ shown: 'hash', key: KEY })
    expect(clientOf(names)).toBe(before)
  })
})

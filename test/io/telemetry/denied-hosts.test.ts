import { describe, expect, it } from 'vitest'
import { DeniedHosts, OTHER_HOST } from '../../../src/io/telemetry/denied-hosts.ts'

const HOUR = 3_600_000

function make(slots: number) {
  const freed: string[] = []
  return { hosts: new DeniedHosts({ slots, onFree: (host) => freed.push(host) }), freed }
}

describe('the label of a denied host', () => {
  it('is the host from its first denial on, which is the only first one', () => {
    const { hosts } = make(8)
    expect(hosts.labelFor('a.test', 'c1', 0)).toEqual({ label: 'a.test', first: true })
    expect(hosts.labelFor('a.test', 'c1', 1)).toEqual({ label: 'a.test', first: false })
    expect(hosts.labelFor('a.test', 'c2', 2)).toEqual({ label: 'a.test', first: false })
  })

  it('is `other` for what one client asks for past a quarter of the slots, and for nobody else', () => {
    const { hosts } = make(8)
    for (let i = 0; i < 2; i++) expect(hosts.labelFor(`a${i}.test`, 'hostile', 0).label).toBe(`a${i}.test`)
    for (let i = 2; i < 1_000; i++)
      expect(hosts.labelFor(`a${i}.test`, 'hostile', 0)).toEqual({ label: OTHER_HOST, first: false })
    expect(hosts.labelFor('b.test', 'honest', 0)).toEqual({ label: 'b.test', first: true })
    // What it had before stays its own.
    expect(hosts.labelFor('a0.test', 'hostile', 0).label).toBe('a0.test')
  })

  it('is `other` once all slots are taken, however many clients take them', () => {
    const { hosts } = make(8)
    for (let i = 0; i < 8; i++) hosts.labelFor(`h${i}.test`, `c${i}`, 0)
    for (let i = 8; i < 1_000; i++) expect(hosts.labelFor(`h${i}.test`, `c${i}`, 0).label).toBe(OTHER_HOST)
  })

  it('goes to another host when a slot has been idle for an hour, and its series go with it', () => {
    const { hosts, freed } = make(4)
    for (let i = 0; i < 4; i++) hosts.labelFor(`h${i}.test`, `c${i}`, 0)
    hosts.labelFor('h0.test', 'c0', HOUR / 2)
    expect(hosts.labelFor('new.test', 'c9', HOUR - 1).label).toBe(OTHER_HOST)
    expect(hosts.labelFor('new.test', 'c9', HOUR)).toEqual({ label: 'new.test', first: true })
    expect(freed.toSorted()).toEqual(['h1.test', 'h2.test', 'h3.test'])
  })

  it('is given again to a client whose own have been idle, though other slots were free all along', () => {
    const { hosts, freed } = make(8)
    hosts.labelFor('a.test', 'c', 0)
    hosts.labelFor('b.test', 'c', 0)
    expect(hosts.labelFor('c.test', 'c', 1).label).toBe(OTHER_HOST)
    expect(hosts.labelFor('c.test', 'c', HOUR).label).toBe('c.test')
    expect(freed.toSorted()).toEqual(['a.test', 'b.test'])
  })

  it('gives every client one slot, also where a quarter is less', () => {
    const { hosts } = make(2)
    expect(hosts.labelFor('a.test', 'c1', 0).label).toBe('a.test')
    expect(hosts.labelFor('b.test', 'c1', 0).label).toBe(OTHER_HOST)
    expect(hosts.labelFor('c.test', 'c2', 0).label).toBe('c.test')
  })

  it('of a host that is called `other` is no slot: its count is that of all the rest', () => {
    const { hosts, freed } = make(4)
    expect(hosts.labelFor('other', 'c', 0)).toEqual({ label: OTHER_HOST, first: false })
    hosts.freeIdle(2 * HOUR)
    expect(freed).toEqual([])
  })
})

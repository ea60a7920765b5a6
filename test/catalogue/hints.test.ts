import { describe, expect, it } from 'vitest'
import { FAILURES, type Failure } from './failures.ts'
import { covers, edition, type Hint, hints, readPlainly, rows } from './shipped-2021.ts'

const KINDS = ['rule', 'feature', 'edition', 'no_proxy', 'workspace', 'forward', 'none']

/** The first item that covers the target, as the file promises; its sentence filled in. */
function hintFor(target: string): { readonly say: string; readonly kind: string } | undefined {
  const [host = '', port = ''] = target.split(':')
  const found = hints.find((hint) => (hint.ports?.includes(Number(port)) ?? true) && hint.hosts.some((one) => covers(one, host)))
  if (found === undefined) return undefined
  return { say: found.say.replaceAll('{host}', host).replaceAll('{port}', port), kind: found.remedy.kind }
}

const expectations = ({ expectHint }: Failure): readonly (RegExp | string)[] =>
  expectHint instanceof RegExp ? [expectHint] : expectHint

describe('the twenty failures', () => {
  it('are all there', () => {
    const numbers = FAILURES.map((one) => Number.parseInt(one.failure, 10))
    expect([...new Set(numbers)]).toEqual(Array.from({ length: 20 }, (_, at) => at + 1))
  })

  for (const one of FAILURES) {
    const [host = '', port] = one.target.split(':')

    it(`${one.failure}: ${one.target} is denied in ${one.cloud}`, () => {
      const { cloud, features = {} } = one
      expect(readPlainly({ cloud, host, port: Number(port), features })).toBe('deny')
    })

    const known = hintFor(one.target)
    if (known !== undefined)
      it(`${one.failure}: ${one.target} has a sentence in hints.yaml that says what is needed`, () => {
        expect(known.kind).toBe(one.expectRemedy)
        for (const expected of expectations(one)) expect(known.say).toMatch(expected)
      })
    else
      it(`${one.failure}: ${one.target} is left to the catalogue's own hint`, () => {
        const off = rows.filter((row) => row.hosts[one.cloud].some((pattern) => covers(pattern, host)))
        const named = /^otherstore\./.test(host)
        expect(off.length > 0 || named, 'a feature that is off, or an account to name').toBe(true)
      })
  }
})

describe('hints.yaml', () => {
  it('gives every item an id that serves as a metric label', () => {
    const ids = hints.map((hint) => hint.id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[a-z][a-z0-9-]{1,31}$/)
  })

  for (const hint of hints)
    it(`${hint.id}: is well formed`, () => {
      expect(Object.keys(hint).filter((field) => !['id', 'hosts', 'ports', 'say', 'remedy'].includes(field))).toEqual([])
      for (const host of hint.hosts) expect(host).toMatch(/^(\*\.?)?[a-z0-9-]+(\.[a-z0-9-]+)+$/)
      for (const port of hint.ports ?? []) expect(Number.isInteger(port) && port > 0 && port < 65536).toBe(true)
      expect(KINDS).toContain(hint.remedy.kind)
      expect(hint.remedy.name).toMatch(/^[A-Za-z0-9][A-Za-z0-9-]{1,31}$/)
    })

  for (const hint of hints)
    it(`${hint.id}: says it in at most two short sentences, without a full stop at the end`, () => {
      expect(hint.say).toMatch(/^[^\n]{20,300}[^.\n]$/)
      expect(hint.say.split(/\. (?=[A-Za-z])/).length).toBeLessThanOrEqual(2)
      expect(hint.say.match(/\{[^}]*\}/g)?.filter((field) => field !== '{host}' && field !== '{port}') ?? []).toEqual([])
    })

  it('names features of the edition where a feature is the remedy', () => {
    for (const { remedy } of hints.filter((hint) => hint.remedy.kind === 'feature'))
      expect(edition.features).toHaveProperty(remedy.name)
  })

  it('never suggests a wildcard over a host that others share', () => {
    // Microsoft alone publishes image layers under this one.
    const microsoftAlone = ['`*.data.mcr.microsoft.com`']
    const suggested = hints.flatMap(({ say }) => [...say.matchAll(/(never )?(`\*[^`]*`)/g)])
    expect(
      suggested.filter(([, never, wide = '']) => never === undefined && !microsoftAlone.includes(wide)).map(([all]) => all),
    ).toEqual([])
  })

  const portsMeet = (one: Hint, other: Hint): boolean =>
    one.ports === undefined || (other.ports?.every((port) => one.ports?.includes(port)) ?? false)

  it('hides no host behind an earlier item, so that the first match is the most specific one', () => {
    const hidden = hints.flatMap((later, at) =>
      later.hosts.flatMap((host) =>
        hints
          .slice(0, at)
          .filter((earlier) => portsMeet(earlier, later) && earlier.hosts.some((one) => covers(one, host.replace('*', 'x'))))
          .map((earlier) => `${later.id}: ${host} is hidden by ${earlier.id}`),
      ),
    )
    expect(hidden).toEqual([])
  })
})

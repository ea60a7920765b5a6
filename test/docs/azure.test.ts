import { describe, expect, it } from 'vitest'
import { DOC_2021 } from '../catalogue/doc-2021.ts'
import { FAILURES } from '../catalogue/failures.ts'
import { covers, hints } from '../catalogue/shipped-2021.ts'
import { codeIn, page, tableUnder } from './pages.ts'

const AZURE = page('docs/azure.md')

describe('the twenty failures in docs/azure.md', () => {
  const rows = tableUnder(AZURE, '## Twenty failures')

  it('are twenty, in order', () => {
    expect(rows.map(([number]) => Number(number))).toEqual(Array.from({ length: 20 }, (_, at) => at + 1))
  })

  for (const { failure, target } of FAILURES)
    it(`name what is contacted and the hint: ${failure}, ${target}`, () => {
      const [host = '', port = ''] = target.split(':')
      const [, , contacted = '', , hint = ''] = rows[Number.parseInt(failure, 10) - 1] ?? []
      expect(codeIn(contacted)).toContain(host)
      const known = hints.find(
        ({ hosts, ports }) => (ports?.includes(Number(port)) ?? true) && hosts.some((one) => covers(one, host)),
      )
      // The named account's own hint comes before that of the known destination.
      if (known !== undefined && !hint.includes('the account')) expect(codeIn(hint)).toContain(known.id)
    })

  it('name hints that there are', () => {
    const ids = hints.map(({ id }) => id)
    for (const [, , , , hint = ''] of rows) for (const id of codeIn(hint)) expect(ids).toContain(id)
  })
})

describe('docs/azure.md', () => {
  it('shows every hint of config/hints.yaml', () => {
    const shown = tableUnder(AZURE, '## Known destinations').map(([id = '']) => codeIn(id)[0])
    expect(shown).toEqual(hints.map(({ id }) => id))
  })

  it('shows every line of the document that names a host', () => {
    const rows = tableUnder(AZURE, '## Rows')
    for (const [line, cloud, host] of DOC_2021) {
      const found = rows.some(([lines = '', ...cells]) => {
        const text = cells.join(' ')
        const [bare = ''] = host.split('/')
        return lines.split(', ').includes(String(line)) && (host === '' ? text.includes('blank') : text.includes(`\`${bare}\``))
      })
      expect(found, `line ${line}, ${cloud}: ${host || 'blank'}`).toBe(true)
    }
  })

  it('numbers the oddities from 1 to 18', () => {
    const section = AZURE.text.slice(AZURE.text.indexOf('\n## Oddities\n'), AZURE.text.indexOf('\n## What you must still do\n'))
    expect([...section.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number))).toEqual(
      Array.from({ length: 18 }, (_, at) => at + 1),
    )
  })
})

describe('docs/security.md', () => {
  const SECURITY = page('docs/security.md')

  it('has fifty cases', () => {
    expect(tableUnder(SECURITY, '## Cases').map(([number]) => Number(number))).toEqual(
      Array.from({ length: 50 }, (_, at) => at + 1),
    )
  })

  it('refers to cases that are in its table', () => {
    const referred = tableUnder(SECURITY, '## Always true').flatMap(([, held = '']) => [...held.matchAll(/\((\d[^)]*)\)/g)])
    expect(referred.length).toBeGreaterThan(5)
    for (const [, numbers = ''] of referred) expect(numbers).toMatch(/^(?:[1-4]?\d|50)(?:(?:, | to )(?:[1-4]?\d|50))*$/)
  })
})

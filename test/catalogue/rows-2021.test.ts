import { describe, expect, it } from 'vitest'
import { CLOUDS, type Cloud, DOC_2021 } from './doc-2021.ts'
import { edition, type Row, rows } from './shipped-2021.ts'

const nameOf = (row: Row): string => `${row.feature}/${row.id}`

/** What the document spells for a row in a cloud: `''` for a blank cell. */
function spelledIn(row: Row, cloud: Cloud): readonly string[] {
  const own = row.documented?.[cloud]
  if (own !== undefined) return [own]
  return row.hosts[cloud].length === 0 ? [''] : row.hosts[cloud]
}

const documented = (line: number, cloud: Cloud, host: string): boolean =>
  DOC_2021.some(([l, c, h]) => l === line && (c === cloud || c === 'all') && h === host)

describe('the 83 hosts and cells of the 2021 document', () => {
  it('are 83, four of them blank', () => {
    expect(DOC_2021).toHaveLength(83)
    expect(DOC_2021.filter(([, , host]) => host === '')).toHaveLength(4)
  })

  for (const [line, cloud, host] of DOC_2021)
    for (const one of cloud === 'all' ? CLOUDS : [cloud])
      it(`line ${line}, ${one}: ${host === '' ? 'the blank cell stays blank' : `${host} has its row`}`, () => {
        const found = rows.filter((row) => row.lines.includes(line) && spelledIn(row, one).includes(host))
        expect(found.map(nameOf), 'rows of hosts.yaml with this line and spelling').toHaveLength(1)
        expect(
          found.map((row) => row.hosts[one].length > 0),
          'resolves into patterns',
        ).toEqual([host !== ''])
      })
})

describe('hosts.yaml', () => {
  for (const row of rows)
    it(`states nothing for ${nameOf(row)} that the document does not`, () => {
      for (const cloud of CLOUDS)
        for (const line of row.lines)
          for (const host of spelledIn(row, cloud))
            expect(documented(line, cloud, host), `line ${line}, ${cloud}: ${host || 'blank'}`).toBe(true)
    })

  it('gives every row an id of its own within its feature', () => {
    expect(new Set(rows.map(nameOf)).size).toBe(rows.length)
  })

  it('uses every feature of the edition and no other', () => {
    // `federation` is in hosts-implied.yaml: the document names no host for it.
    const features = Object.keys(edition.features).filter((name) => name !== 'federation')
    expect([...new Set(rows.map((row) => row.feature))].sort()).toEqual(features.sort())
  })

  it('keeps the ids that operators and tests already name', () => {
    expect(rows.map(nameOf)).toEqual(expect.arrayContaining(['python/pypi.org', 'python-files/*.pythonhosted.org']))
  })

  it('states ports for line 202 alone', () => {
    expect(rows.filter((row) => row.ports).map((row) => [row.lines, row.ports])).toEqual([[[202], [18881, 443, 8787]]])
  })

  it('states the protocol of the application rules and of line 202, and leaves the blank ones blank', () => {
    for (const row of rows) {
      const expected = row.lines.some((line) => line <= 158) ? 'http, https' : row.lines.includes(202) ? 'TCP' : undefined
      expect(row.protocol, nameOf(row)).toBe(expected)
    }
  })

  it('has one row with a path, and host and path together are what the document spells', () => {
    const withPaths = rows.filter((row) => row.paths !== undefined)
    expect(withPaths.map(nameOf)).toEqual(['vscode/raw.githubusercontent.com'])
    for (const row of withPaths)
      for (const cloud of CLOUDS) expect(`${row.hosts[cloud]}${row.paths}`).toBe(row.documented?.[cloud])
  })

  it('calls a row `yours` exactly where a parameter names it, and knows three tenancies', () => {
    for (const row of rows) {
      expect(['microsoft', 'yours', 'any'], nameOf(row)).toContain(row.tenancy)
      const parameters = CLOUDS.flatMap((cloud) => row.hosts[cloud]).map((pattern) => pattern.includes('<'))
      expect([...new Set(parameters)], nameOf(row)).toEqual([row.tenancy === 'yours'])
    }
  })

  it('resolves a bare suffix or `<storage>` into names under that very suffix', () => {
    for (const row of rows.filter((one) => one.documented && !one.paths))
      for (const cloud of CLOUDS)
        for (const pattern of row.hosts[cloud])
          expect(pattern.endsWith(`.${row.documented?.[cloud].replace('<storage>.', '')}`), `${nameOf(row)}: ${pattern}`).toBe(
            true,
          )
  })

  it('never hands a wildcard to Microsoft alone: nothing in the document says who answers under one', () => {
    const wide = rows.filter((row) => CLOUDS.some((cloud) => row.hosts[cloud].some((pattern) => pattern.startsWith('*'))))
    expect(wide.filter((row) => row.tenancy !== 'any').map(nameOf)).toEqual([])
  })

  it('writes exact names, `*.suffix` or `*suffix`, in lower case, with known parameters', () => {
    const form = /^(\*\.?)?([a-z0-9-]+|<(storageAccount|containerRegistry|region)>)(\.([a-z0-9-]+|<region>))+$/
    for (const pattern of rows.flatMap((row) => CLOUDS.flatMap((cloud) => row.hosts[cloud]))) expect(pattern).toMatch(form)
  })

  it('uses only the fields it explains, with every row stating what it is for', () => {
    const fields = 'id feature purpose hosts documented ports protocol paths condition narrow tenancy note lines'.split(' ')
    for (const row of rows) {
      expect(Object.keys(row).filter((field) => !fields.includes(field))).toEqual([])
      expect(row.purpose.trim(), nameOf(row)).toMatch(/\S/)
      expect(Object.keys(row.hosts), nameOf(row)).toEqual([...CLOUDS])
    }
  })
})

describe('edition.yaml', () => {
  it('names its document and date', () => {
    expect(edition).toMatchObject({ id: '2021-07-29', date: '2021-07-29' })
    expect(edition.document).toContain('Azure Machine Learning')
  })

  it('switches every feature on but `diagnostics`, and `federation`, which a name switches on', () => {
    const off = Object.entries(edition.features).filter(([, feature]) => !feature.default)
    expect(off.map(([name]) => name)).toEqual(['diagnostics', 'federation'])
  })

  it('sums up each feature in one line', () => {
    for (const { summary } of Object.values(edition.features)) expect(summary).toMatch(/^[^\n]{10,100}$/)
  })
})

import { describe, expect, it } from 'vitest'
import { renderTable } from '../../src/cli/table.ts'

const COLUMNS = [{ title: 'ID', whole: true, leastCharacters: 6 }, { title: 'KIND' }, { title: 'PURPOSE', leastCharacters: 8 }]
const ROWS = [
  ['rule/a', 'yours', 'short'],
  [['rule/long-name', '  and a line that runs on into empty room'], 'any', 'a purpose of some length'],
]

const table = (columns: number | undefined, rows = ROWS) => renderTable(COLUMNS, rows, columns).split('\n').slice(0, -1)

describe('a table', () => {
  it('is as wide as its content where there is room, without blanks at line ends', () => {
    expect(table(100)).toEqual([
      'ID              KIND   PURPOSE',
      'rule/a          yours  short',
      'rule/long-name  any    a purpose of some length',
      '  and a line that runs on into empty room',
    ])
  })

  it('takes from the widest column first', () => {
    expect(table(40)).toEqual([
      'ID              KIND   PURPOSE',
      'rule/a          yours  short',
      'rule/long-name  any    a purpose of som…',
      '  and a line that runs on into empty ro…',
    ])
  })

  it('cuts ids on a terminal only when nothing else is left to give', () => {
    expect(table(27)).toEqual([
      'ID         KIND   PURPOSE',
      'rule/a     yours  short',
      'rule/lon…  any    a purpos…',
      '  and a line that runs on …',
    ])
  })

  it('fits even where every column is at its least', () => {
    for (const line of table(12)) expect([...line].length).toBeLessThanOrEqual(12)
  })

  it('never cuts what must stay whole where it is no terminal', () => {
    const id = `rule/${'x'.repeat(150)}`
    const lines = table(undefined, [[id, 'any', 'a purpose of some length']])
    expect(lines[1]).toBe(`${id}  any   a purpo…`)
  })

  it('counts characters, not code units', () => {
    expect(renderTable([{ title: 'A' }, { title: 'B' }], [['😀😀', 'x']], 80)).toBe('A   B\n😀😀  x\n')
  })

  it('is a heading where there are no rows', () => {
    expect(table(80, [])).toEqual(['ID  KIND  PURPOSE'])
  })
})

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ROOT } from './pages.ts'

const PAGE = readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8')
const ROWS = PAGE.split('\n').filter((line) => line.startsWith('| ') && line.includes('npx vitest run '))

/** Every test file under a path as vitest takes it. */
function testFiles(path: string): string[] {
  const full = join(ROOT, path)
  if (!existsSync(full)) return []
  if (!statSync(full).isDirectory()) return [full]
  return readdirSync(full)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(full, name))
}

describe('the faults of docs/reliability.md', () => {
  it('are there', () => {
    expect(ROWS.length).toBeGreaterThan(20)
  })

  for (const row of ROWS) {
    const [, fault = ''] = row.split('|')
    it(`can be repeated:${fault}`.trimEnd(), () => {
      const [, command = ''] = /`npx vitest run ([^`]+)`/.exec(row) ?? []
      const [places = '', name = ''] = command.split(/ -t /)
      const files = places.trim().split(' ')
      expect(files.flatMap(testFiles), command).not.toEqual([])
      for (const file of files) expect(testFiles(file), file).not.toEqual([])
      const text = files
        .flatMap(testFiles)
        .map((file) => readFileSync(file, 'utf8'))
        .join('\n')
      for (const part of name.replaceAll("'", '').split('\\|')) expect(text, command).toContain(part)
    })
  }
})

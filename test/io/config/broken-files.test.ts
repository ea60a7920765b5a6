import { readdirSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { formatProblem, loadConfig } from '../../../src/io/config/load.ts'

/**
 * Every file of `broken/` says in its first lines what `check` must say of it: `# expect: LINE:COLUMN: message`, in this order
 * and nothing else.
 */
const FOLDER = relative(process.cwd(), fileURLToPath(new URL('broken', import.meta.url)))
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml.txt'))

function expectations(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^# expect: (.*)$/gm)].map(([, message]) => `${file}:${message}`)
}

describe('a broken config file', () => {
  it('comes in many kinds', () => {
    expect(FILES.length).toBeGreaterThanOrEqual(25)
  })

  for (const name of FILES)
    it(`is refused with every problem and its place: ${name.replace('.yaml.txt', '').replaceAll('-', ' ')}`, async () => {
      const file = `${FOLDER}/${name}`
      const loaded = await loadConfig(file)
      const shown = loaded.ok ? ['loaded'] : loaded.error.map(formatProblem)
      expect(shown).toEqual(expectations(file))
      expect(shown.length).toBeGreaterThan(0)
    })

  it('is described in house style: one printable line, no full stop, no capital first', () => {
    for (const name of FILES)
      for (const line of expectations(`${FOLDER}/${name}`)) {
        expect(line).toMatch(/^[\x20-\x7e]+[^.]$/)
        expect(line.replace(/^\S+:\d+:\d+: (?:warning: )?/, '')).toMatch(/^[^A-Z]|^YAML /)
      }
  })
})

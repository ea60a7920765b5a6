import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MAJOR = process.versions.node.split('.')[0]
const hasCores = existsSync('/sys/devices/system/cpu/cpu1')

describe.skipIf(process.platform !== 'linux' || !hasCores)('npm run bench', () => {
  it('starts, checks, measures and ends a gateway, and writes what it found', { timeout: 60_000 }, async () => {
    const out = mkdtempSync(join(tmpdir(), 'sallyport-bench-test-'))
    try {
      const flags = [
        '--quick',
        '--own-node',
        '--rounds',
        '1',
        '--requests',
        '300',
        '--cases',
        'setup,denied,forward-kept',
        '--out',
        out,
      ]
      const { stderr } = await promisify(execFile)(
        process.execPath,
        [join(ROOT, 'bench', 'run.mjs'), ...flags, '--only', `sallyport-kernel-${MAJOR},sallyport-portable-${MAJOR}`],
        { encoding: 'utf8' },
      )
      expect(stderr).toContain('what is not listed: answered with 403')
      expect(stderr).not.toContain('left out')
      const markdown = readFileSync(join(out, 'benchmarks.md'), 'utf8')
      for (const title of ['Tunnel set-up', 'Denied CONNECT', 'Forwarded plain-HTTP request'])
        expect(markdown).toMatch(new RegExp(`### ${title}[^#]*kernel relay[^#]*portable relay`))
      expect(readFileSync(join(out, 'benchmarks.svg'), 'utf8')).toMatch(/^<svg /)
    } finally {
      rmSync(out, { recursive: true, force: true })
    }
  })
})

import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ProgramUnderTest } from '../support/program-under-test.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A listener for redirected connections is of no use where the kernel cannot be asked where they were going. */
describe('an installation without the addon', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bare-'))

  beforeAll(() => {
    cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true })
    cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
    for (const name of ['config', 'node_modules']) symlinkSync(join(ROOT, name), join(folder, name))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const listen = (transparent: string) =>
    `listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:0", admin: "127.0.0.1:0"${transparent} }\n`

  for (const workers of [1, 2])
    it(`does not start with a transparent listener, and says what is missing, with ${workers} worker(s)`, async () => {
      const yaml = `${listen(', transparent: { tls: "0.0.0.0:0" }')}workers: ${workers}\n`
      const program = new ProgramUnderTest(yaml, { main: join(folder, 'dist/main.js') })
      try {
        expect(await program.exited).toEqual({ code: 69, signal: null })
        expect(program.stderr).toContain(
          "cannot start: `listen.transparent` needs the kernel relay's addon, whatever `relay` says: it was not built at install",
        )
      } finally {
        await program.stop()
      }
    })

  it('starts without one', async () => {
    const program = new ProgramUnderTest(listen(''), { main: join(folder, 'dist/main.js') })
    try {
      await program.ready()
    } finally {
      await program.stop()
    }
  })
})

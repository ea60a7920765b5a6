import { describe, expect, it } from 'vitest'
import { VERSION } from '../../src/version.ts'
import { sallyport } from './cli-run.ts'

describe('the command line', () => {
  it('tells its version', async () => {
    expect(await sallyport(['--version'])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: '' })
  })

  for (const command of ['serve', 'check', 'explain', 'entries', 'health'])
    it(`has examples in the help of ${command}`, async () => {
      const { code, stdout } = await sallyport([command, '--help'])
      expect(code).toBe(0)
      expect(stdout).toMatch(new RegExp(`Usage: sallyport ${command} `))
      expect(stdout).toMatch(new RegExp(`\\nExamples:\\n  sallyport ${command}`))
      expect((await sallyport(['help', command])).stdout).toBe(stdout)
    })

  it('lists its commands', async () => {
    const { code, stdout } = await sallyport(['--help'])
    expect(code).toBe(0)
    for (const command of ['serve', 'check', 'explain', 'entries', 'health'])
      expect(stdout).toMatch(new RegExp(`\\n  ${command} `))
    expect(stdout).toMatch(/\nExamples:\n/)
  })

  const mistakes = [
    { words: ['chek'], says: 'sallyport: unknown command `chek`; did you mean `check`?' },
    { words: ['check', '--strct'], says: 'sallyport: unknown option `--strct`; did you mean `--strict`?' },
    { words: ['explain'], says: 'sallyport: missing required argument `target`' },
    { words: ['check', '--config'], says: 'sallyport: option `-c, --config <file>` argument missing' },
    { words: ['check', '--config', ''], says: 'sallyport: option `-c, --config <file>` argument `` is invalid; it is empty' },
    { words: ['entries', 'pypi.org'], says: /^sallyport: too many arguments for `entries`/ },
    { words: ['\u001b[31mred'], says: 'sallyport: unknown command `\\u001b[31mred`' },
    { words: [], says: /^Usage: sallyport/ },
  ]
  for (const { words, says } of mistakes)
    it(`exits 2 and says what is wrong with \`sallyport ${words.join(' ').replace('\u001b', 'ESC')}\``, async () => {
      const { code, stdout, stderr } = await sallyport(words)
      expect(code).toBe(2)
      expect(stdout).toBe('')
      if (typeof says === 'string') expect(stderr).toBe(`${says}\n`)
      else expect(stderr).toMatch(says)
    })
})

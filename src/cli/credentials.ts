import { randomBytes } from 'node:crypto'
import { open, realpath, rename, rm, stat } from 'node:fs/promises'
import { type Credentials, parseCredentials } from '../core/config/credential-file.ts'
import { USER_NAME } from '../core/config/groups.ts'
import { quote } from '../core/names/quote.ts'
import { err, ok, type Result } from '../core/result.ts'
import { loadConfigShape, printable } from '../io/config/load.ts'
import { readText } from '../io/config/read-file.ts'
import { credentialLine, PASSWORD_BYTES_MAX } from '../io/credentials/password-hash.ts'
import { type CommandIo, counted, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'

export interface CredentialsOptions {
  readonly config?: string
  readonly file?: string
  readonly print?: boolean
}

/** What can be guessed from outside is no password. */
const PASSWORD_CHARACTERS_MIN = 12

/** Adds a user, or gives it another password. The password comes on standard input, so that no list of processes shows it. */
export async function addCredentials(user: string, options: CredentialsOptions, io: CommandIo): Promise<number> {
  if (!USER_NAME.test(user)) return refuseUsage(`${quote(user)}: a user is made of at most 64 letters, digits and \`._@+-\``, io)
  const password = await readPassword(io)
  if (!password.ok) return refuseUsage(password.error, io)
  if (options.print) {
    io.stdout.write(`${await credentialLine(user, password.value)}\n`)
    return EXIT.ok
  }
  return change(options, io, async ({ lines, users }, file) => {
    const line = await credentialLine(user, password.value)
    const known = users.get(user)
    const said = known === undefined ? `added \`${user}\` to ${file}` : `gave \`${user}\` another password in ${file}`
    return { lines: known === undefined ? [...lines, line] : lines.map((one) => (one.trim() === known.line ? line : one)), said }
  })
}

export function removeCredentials(user: string, options: CredentialsOptions, io: CommandIo): Promise<number> {
  return change(
    options,
    io,
    async ({ lines, users }, file) => {
      const known = users.get(user)
      if (known === undefined) return undefined
      return { lines: lines.filter((line) => line.trim() !== known.line), said: `removed \`${user}\` from ${file}` }
    },
    `there is no user ${quote(user)}`,
  )
}

export async function listCredentials(options: CredentialsOptions, io: CommandIo): Promise<number> {
  const read = await readCredentials(options, io)
  if (typeof read === 'number') return read
  for (const user of read.content.users.keys()) io.stdout.write(`${user}\n`)
  io.stderr.write(`${counted(read.content.users.size, 'user')} in ${read.file}\n`)
  return EXIT.ok
}

interface Content {
  readonly lines: readonly string[]
  readonly users: Credentials
}

type Change = (
  content: Content,
  file: string,
) => Promise<{ readonly lines: readonly string[]; readonly said: string } | undefined>

async function change(options: CredentialsOptions, io: CommandIo, act: Change, nothing = ''): Promise<number> {
  const read = await readCredentials(options, io, 'may_be_absent')
  if (typeof read === 'number') return read
  const changed = await act(read.content, read.file)
  if (changed === undefined) {
    io.stderr.write(`sallyport: ${nothing} in ${printable(read.file)}\n`)
    return EXIT.failed
  }
  try {
    await replace(read.file, `${changed.lines.join('\n')}\n`)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    io.stderr.write(`sallyport: cannot write ${printable(read.file)}: ${code}\n`)
    return EXIT.failed
  }
  io.stdout.write(`${printable(changed.said)}; a gateway that runs with it takes it by itself\n`)
  return EXIT.ok
}

/** The file's lines as they stand, comments and all, or the code to end with. */
async function readCredentials(
  options: CredentialsOptions,
  io: CommandIo,
  absent?: 'may_be_absent',
): Promise<{ readonly file: string; readonly content: Content } | number> {
  const file = await fileOf(options, io)
  if (typeof file === 'number') return file
  if (absent !== undefined && !(await exists(file))) return { file, content: { lines: [], users: new Map() } }
  const read = await readText(file)
  const parsed = read.ok ? parseCredentials(read.value.text) : err([{ line: 1, message: read.error.message }])
  if (!parsed.ok)
    return refuseConfig(
      parsed.error.map(({ line, message }) => ({ file, severity: 'error', place: { line, column: 1 }, message })),
      io,
    )
  const text = read.ok ? read.value.text : ''
  return {
    file,
    content: {
      lines: text
        .replace(/\n$/, '')
        .split('\n')
        .filter((line, index) => line !== '' || index > 0),
      users: parsed.value,
    },
  }
}

/** The file need not be right, or be there, for its name to be known. */
async function fileOf({ config, file }: CredentialsOptions, io: CommandIo): Promise<string | number> {
  if (file !== undefined) return file
  const loaded = await loadConfigShape(chosenConfig(config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const named = loaded.value.credentials.file
  if (named !== undefined) return named
  return refuseUsage('the config has no `credentials.file`; name one there, or say `--file FILE`', io)
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    ({ code }: NodeJS.ErrnoException) => code !== 'ENOENT',
  )
}

/** Whole or not at all, for its owner alone, and in the place that a symbolic link leads to. */
async function replace(file: string, text: string): Promise<void> {
  const target = await realpath(file).catch(() => file)
  const mode = await stat(target).then(
    (stats) => stats.mode & 0o777,
    () => 0o600,
  )
  const draft = `${target}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', mode)
  try {
    await handle.writeFile(text)
    await handle.sync()
    await handle.close()
    await rename(draft, target)
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(draft, { force: true })
    throw error
  }
}

async function readPassword({ stdin }: CommandIo): Promise<Result<string, string>> {
  if (stdin === undefined) return err('the password comes on standard input')
  let text = ''
  for await (const chunk of stdin) {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')
    if (text.length > 2 * PASSWORD_BYTES_MAX) break
  }
  const [password = '', ...rest] = text.split(/\r?\n/)
  if (rest.some((line) => line !== '')) return err('standard input has more than one line; the password is one')
  if (password.length < PASSWORD_CHARACTERS_MIN)
    return err(`the password has fewer than ${PASSWORD_CHARACTERS_MIN} characters; make one with \`openssl rand -base64 24\``)
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) return err(`the password has more than ${PASSWORD_BYTES_MAX} bytes`)
  return ok(password)
}

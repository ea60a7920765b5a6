import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { ROUTE_FORMATS } from '../core/azure/route-text.ts'
import { printable } from '../io/config/located-problem.ts'
import { VERSION } from '../version.ts'
import type { CaInitOptions, CaShowOptions } from './ca.ts'
import type { CheckOptions } from './check.ts'
import { COMPUTE_KINDS, EXPORT_NAMES, IMPORT_NAMES, PLACE_NAMES } from './choices.ts'
import { type CommandIo, EXIT, terminalColumns } from './command-io.ts'
import type { CompareOptions } from './compare.ts'
import type { CredentialsOptions } from './credentials.ts'
import type { DiffOptions } from './diff.ts'
import type { DoctorOptions } from './doctor.ts'
import type { EditionsDiffOptions, EditionsOptions } from './editions.ts'
import type { EntriesOptions } from './entries.ts'
import type { EnvOptions } from './env.ts'
import { EXAMPLES, type Example, examples } from './examples.ts'
import type { ExplainOptions } from './explain.ts'
import type { ExportOptions } from './export.ts'
import type { HealthOptions } from './health.ts'
import type { ImportOptions } from './import.ts'
import type { InitOptions } from './init.ts'
import type { RoutesOptions } from './routes.ts'
import { chosenConfig } from './shipped-config.ts'
import type { SubnetOptions } from './subnet.ts'
import type { SuggestOptions } from './suggest.ts'
import type { TestOptions } from './test.ts'

/** The command line: what can be asked, and its help. Each command is a function in a file of its own. */

/** Runs one command. Never throws for what a user typed: resolves to the exit code. */
export async function run(words: readonly string[], io: CommandIo): Promise<number> {
  let code: number = EXIT.ok
  const program = build(io, (result) => {
    code = result
  })
  try {
    await program.parseAsync(words, { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  }
}

function build(io: CommandIo, settle: (code: number) => void): Command {
  const program = new Command('sallyport')
    .description('A forward-proxy egress gateway for Azure Machine Learning subnets')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => terminalColumns(io.stdout) ?? HELP_COLUMNS,
      getErrHelpWidth: () => terminalColumns(io.stderr) ?? HELP_COLUMNS,
      outputError: (text, write) => write(inHouseStyle(text)),
    })
    .addHelpText(
      'after',
      `\nWithout --config, the gateway.yaml that comes with the package is used.\n${examples(EXAMPLES.program)}`,
    )

  const command = (name: string, description: string, ownExamples: readonly Example[]): Command =>
    program
      .command(name)
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .option('-c, --config <file>', 'the config file', nonEmpty)
      .addHelpText('after', examples(ownExamples))

  command('serve', 'serve until SIGTERM: audit log on standard output, everything else on standard error', EXAMPLES.serve).action(
    async ({ config }: { config?: string }) => {
      // Loaded when it is wanted: the other commands answer at once without the gateway's own code.
      const { serve } = await import('./serve.ts')
      settle(await serve({ config: chosenConfig(config, io) }))
    },
  )
  command('check', 'say what is wrong with a config file; exit 78 where it cannot be used', EXAMPLES.check)
    .option('--strict', 'warnings count as errors')
    .action(async (options: CheckOptions) => settle(await (await import('./check.ts')).check(options, io)))
  command('explain', 'say what would happen to a request, and why; exit 1 where it is denied. Never asks DNS', EXAMPLES.explain)
    .argument('<target>', 'host, host:port or URL; a bare host means port 443')
    .option('--client <ip>', 'ask on behalf of this client address', nonEmpty)
    .option('--user <name>', 'who has shown the password of this user', nonEmpty)
    .option('--group <name>', 'ask on behalf of this client group', nonEmpty)
    .option('--method <method>', 'the method that goes with a URL (default: GET)', nonEmpty)
    .option('--json', 'print JSON')
    .action(async (target: string, options: ExplainOptions) =>
      settle(await (await import('./explain.ts')).explain(target, options, io)),
    )
  command(
    'entries',
    'list what is allowed and denied: every entry that is on, with its patterns and its source',
    EXAMPLES.entries,
  )
    .option('--group <name>', 'what this client group is allowed and denied', nonEmpty)
    .option('--risk', 'the riskiest first, with who can receive data there')
    .option('--json', 'print JSON')
    .action(async (options: EntriesOptions) => settle(await (await import('./entries.ts')).entries(options, io)))
  command('suggest', 'say what would let out what audit logs show as refused: YAML for the config file', EXAMPLES.suggest)
    .argument('<log...>', 'audit logs of one gateway or several; `-` is standard input')
    .option('--min-count <n>', 'leave out what was refused fewer times (default: 1)')
    .option('--since <time>', 'leave out what was before: `2026-11-22T08:00:00Z`, or `24h`, `7d` ago')
    .option('--json', 'print JSON')
    .action(async (logs: string[], options: SuggestOptions) => {
      // With it comes the Public Suffix List, which no other command needs.
      const { suggest } = await import('./suggest.ts')
      settle(await suggest(logs, options, io))
    })
  command('export', 'print the resolved allowlist for another firewall', EXAMPLES.export)
    .requiredOption('--to <target>', EXPORT_NAMES.join(', '))
    .option('--sources <range...>', 'Azure Firewall: ranges of the subnet (default: `*`)')
    .option('--priority <number>', 'Azure Firewall: of the rule collection group (default: 1000)')
    .action(async (options: ExportOptions) => settle(await (await import('./export.ts')).exportPolicy(options, io)))
  program
    .command('import')
    .description('print the rules of another proxy as YAML for the config file, with what could not be carried over')
    .helpOption('-h, --help', 'print this help')
    .argument('<file>', 'the file; `-` is standard input')
    .requiredOption('--from <kind>', IMPORT_NAMES.join(', '))
    .addHelpText('after', examples(EXAMPLES.import))
    .action(async (file: string, options: ImportOptions) =>
      settle(await (await import('./import.ts')).importRules(file, options, io)),
    )
  program
    .command('init')
    .description('print a config for a workspace')
    .helpOption('-h, --help', 'print this help')
    .requiredOption('--workspace <file>', 'what `az ml workspace show -o json` printed; `-` is standard input', nonEmpty)
    .addHelpText('after', examples(EXAMPLES.init))
    .action(async (options: InitOptions) => settle(await (await import('./init.ts')).init(options, io)))
  command(
    'compare',
    'ask the policy about every host that Azure says the workspace needs; exit 1 where one is refused',
    EXAMPLES.compare,
  )
    .argument('<file>', 'the answer of `outboundNetworkDependenciesEndpoints`; `-` is standard input')
    .option('--json', 'print JSON')
    .action(async (file: string, options: CompareOptions) =>
      settle(await (await import('./compare.ts')).compare(file, options, io)),
    )
  command('test', 'ask the policy about every case of a file, and say which come out otherwise than expected', EXAMPLES.test)
    .argument('<cases...>', 'YAML files with `cases:`')
    .action(async (files: string[], options: TestOptions) => settle(await (await import('./test.ts')).test(files, options, io)))
  program
    .command('diff')
    .description('say what would change if one config took the place of another; exit 1 where anything does')
    .helpOption('-h, --help', 'print this help')
    .argument('<old>', 'the config file in force')
    .argument('<new>', 'the config file that would take its place')
    .option('--replay <log...>', 'also ask both about every request of these audit logs; `-` is standard input')
    .option('--json', 'print JSON')
    .addHelpText('after', examples(EXAMPLES.diff))
    .action(async (before: string, after: string, options: DiffOptions) =>
      settle(await (await import('./diff.ts')).diff(before, after, options, io)),
    )
  command('env', 'print what to set where, so that programs there use the gateway', EXAMPLES.env)
    .requiredOption('--for <place>', PLACE_NAMES.join(', '))
    .option('--proxy <url>', 'where clients reach the gateway, as in `http://10.0.0.4:3128`', nonEmpty)
    .option('--direct <name...>', 'also without the proxy: a name, an address, or `.suffix`')
    .action(async (options: EnvOptions) => settle(await (await import('./env.ts')).env(options, io)))
  command(
    'doctor',
    'try to reach every host that the policy names, the way the gateway would; exit 1 where one fails',
    EXAMPLES.doctor,
  )
    .option('--host <host...>', 'also this host, or host:port, which a wildcard lists')
    .option('--only', 'nothing but what --host names')
    .option('--client <ip>', 'on behalf of this client address', nonEmpty)
    .option('--group <name>', 'on behalf of this client group', nonEmpty)
    .option('--timeout <seconds>', 'for one destination (default: `limits.dialSeconds`)')
    .option('--json', 'print JSON')
    .action(async (options: DoctorOptions) => {
      const { doctor } = await import('./doctor.ts')
      settle(await doctor(options, io))
    })
  command(
    'routes',
    'print the inbound routes of Azure ML and Batch, next hop Internet, or what a newer file of service tags changes',
    EXAMPLES.routes,
  )
    .option('--region <region...>', 'instead of `workspace.regions`')
    .option('--format <format>', `${ROUTE_FORMATS.join(', ')} (default: cli)`)
    .option('--compute <kind>', `${COMPUTE_KINDS.join(' or ')}: with rules of the security group, or why there are no routes`)
    .option('--addresses', 'by address prefix instead of by service tag')
    .option('--file <file>', 'take the addresses from here instead of `serviceTags.file`', nonEmpty)
    .option('--ipv6', 'with --addresses: IPv6 prefixes too')
    .option('--without-region', "Batch's service tag for all regions")
    .option('--resource-group <name>', 'default: MyResourceGroup', nonEmpty)
    .option('--route-table <name>', 'default: MyRouteTable', nonEmpty)
    .option('--nsg <name>', 'default: MyNetworkSecurityGroup', nonEmpty)
    .option('--diff <files...>', 'OLD NEW: what the second file changes of the tags in use')
    .action(async (options: RoutesOptions) => {
      const { routes } = await import('./routes.ts')
      settle(await routes(options, io))
    })
  command('subnet', "print the rules that lead a subnet's traffic through this host, or apply them", EXAMPLES.subnet)
    .option('--apply', 'put the rules into the kernel, in a table of their own; again and again with the same result')
    .option('--watch', 'with --apply: stay, put them back when they are gone, keep the addresses of names fresh')
    .option('--sysctl', 'with --apply: also set what the kernel has to be set to, and say so')
    .option('--no-resolve', 'with --apply: leave out names, for a boot before there is a network')
    .option('--remove', 'take the rules away')
    .option('--check', 'only say what is missing on this host; exit 1 where something is')
    .option('--azure <form>', "print Azure's side instead: `bicep` or `cli`", nonEmpty)
    .action(async (options: SubnetOptions) => {
      const { subnet } = await import('./subnet.ts')
      settle(await subnet(options, io))
    })
  command('health', 'ask the running gateway whether it is ready; exit 1 where it is not', EXAMPLES.health).action(
    async (options: HealthOptions) => settle(await (await import('./health.ts')).health(options, io)),
  )
  const credentials = program
    .command('credentials')
    .description('users and passwords of the proxy')
    .helpOption('-h, --help', 'print this help')
  credentials.addHelpText('after', examples(EXAMPLES.credentials))
  const onCredentials = (name: string, description: string) =>
    credentials
      .command(name)
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .option('-c, --config <file>', 'the config file, whose `credentials.file` is meant', nonEmpty)
      .option('--file <file>', 'this file of credentials instead', nonEmpty)
  onCredentials('add', 'add a user, or give it another password; the password is the first line of standard input')
    .argument('<user>', 'letters, digits and `._@+-`')
    .option('--print', 'print the line and change no file')
    .action(async (user: string, options: CredentialsOptions) => {
      const { addCredentials } = await import('./credentials.ts')
      settle(await addCredentials(user, options, io))
    })
  onCredentials('remove', 'remove a user; its open tunnels are closed when the gateway has read the file')
    .argument('<user>', 'as it stands in the file')
    .action(async (user: string, options: CredentialsOptions) => {
      const { removeCredentials } = await import('./credentials.ts')
      settle(await removeCredentials(user, options, io))
    })
  onCredentials('list', 'list the users').action(async (options: CredentialsOptions) => {
    const { listCredentials } = await import('./credentials.ts')
    settle(await listCredentials(options, io))
  })
  const catalogue = command('editions', 'list the editions of the documented allowlist', EXAMPLES.editions)
    .option('--json', 'print JSON')
    .action(async (options: EditionsOptions) => settle(await (await import('./editions.ts')).editions(options, io)))
  catalogue
    .command('diff')
    .description('say what the second edition lists otherwise than the first')
    .helpOption('-h, --help', 'print this help')
    .argument('<from>', 'an edition, as in `2021-07-29`')
    .argument('<to>', 'another one')
    .option('--cloud <cloud>', 'public, government or china (default: public)', nonEmpty)
    .option('--json', 'print JSON')
    .action(async (from: string, to: string, options: EditionsDiffOptions) =>
      settle(await (await import('./editions.ts')).editionsDiff(from, to, { ...catalogue.opts(), ...options }, io)),
    )
  const ca = program.command('ca').description('the CA of TLS inspection').helpOption('-h, --help', 'print this help')
  ca.addHelpText('after', examples(EXAMPLES.ca))
  ca.command('init')
    .description('make a CA, good for exactly the hosts that the rules inspect')
    .helpOption('-h, --help', 'print this help')
    .option('-c, --config <file>', 'the config file', nonEmpty)
    .option('--common-name <name>', 'what the certificate is called')
    .option('--days <days>', 'how long it is valid (default: 3650)')
    .option('--key-type <type>', 'p256, p384 or rsa (default: p256)')
    .option('--host <host...>', 'also good for this host, or `*.suffix`')
    .option('--any-host', 'good for every host there is')
    .option('--certificate <file>', 'write it here instead, as the next CA')
    .option('--key <file>', 'with --certificate: its key')
    .action(async (options: CaInitOptions) => settle(await (await import('./ca.ts')).caInit(options, io)))
  ca.command('show')
    .description('show the CA in use, and how each tool comes to trust it')
    .helpOption('-h, --help', 'print this help')
    .option('-c, --config <file>', 'the config file', nonEmpty)
    .option('--pem', 'print what clients install, and nothing else')
    .action(async (options: CaShowOptions) => settle(await (await import('./ca.ts')).caShow(options, io)))
  return program
}

const HELP_COLUMNS = 100

function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('it is empty')
  return text
}

/** Commander's `error: unknown command 'chek'\n(Did you mean check?)` as one sentence with backticks. */
function inHouseStyle(text: string): string {
  const sentence = text
    .trim()
    .replace(/^error: /, '')
    .replace(
      /\s*\n\(Did you mean (one of )?(.*)\?\)$/s,
      (_, __, names: string) => `; did you mean \`${names.split(', ').join('` or `')}\`?`,
    )
    .replace(/'([^']*)'/g, '`$1`')
    .replace(/\.( |$)/g, (_, after: string) => (after === '' ? '' : '; '))
  return `sallyport: ${printable(sentence)}\n`
}

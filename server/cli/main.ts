#!/usr/bin/env node
/**
 * The command line `xiaohe`: one file a command, put together here. Exit codes: 0 done, 1 failed (a coded error in both
 * languages on standard error), 2 wrong usage, 130 stopped by Ctrl-C. Results go to standard output, everything else to
 * standard error, so that output can be piped.
 */
import { Command, CommanderError } from 'commander';
import { bootFailure } from '../banner.ts';
import { benchCommand } from './bench.ts';
import { chatCommand } from './chat.ts';
import { exportCommand } from './export.ts';
import { generateCommand } from './generate.ts';
import { infoCommand } from './info.ts';

const FAILED = 1;
const USAGE = 2;
const VERSION = '0.1.0';

const program = new Command('xiaohe')
  .description('小禾 · Xiaohe: a virtual student on a small mixture-of-experts model of her own')
  .version(VERSION)
  .showHelpAfterError('(加 --help 看用法 · add --help for usage)')
  .enablePositionalOptions();
for (const command of [chatCommand(), generateCommand(), exportCommand(), benchCommand(), infoCommand()])
  program.addCommand(command.copyInheritedSettings(program));
for (const command of [program, ...program.commands]) command.exitOverride();

// Whoever reads us may stop early (`| head`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : FAILED));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; help and version that were asked for end with 0.
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  } else {
    process.stderr.write(bootFailure(error));
    process.exitCode = FAILED;
  }
}
// A GPU library may keep threads that never end; what was printed must still arrive.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))));
process.exit();

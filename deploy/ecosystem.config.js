// PM2 runs the whole market maker: `pm2 start deploy/ecosystem.config.js -- --dry-run --preset conservative --interval 200`.
// What follows `--` goes to mm_bot.py; without it the bot runs as `python3 mm_bot.py --dry-run`. `make setup` once.
const path = require("path");

const root = path.resolve(__dirname, "..");
const dashes = process.argv.indexOf("--");
const given = dashes < 0 ? [] : process.argv.slice(dashes + 1);

module.exports = {
  apps: [
    {
      name: "mm-bot",
      cwd: root,
      script: "mm_bot.py",
      interpreter: path.join(root, ".venv", "bin", "python"),
      args: given.length ? given : ["--dry-run"],
      exec_mode: "fork",
      autorestart: true,
      stop_exit_codes: [2, 3], // wrong usage, another bot on this folder: a restart does not help (0 also means killed)
      exp_backoff_restart_delay: 1000,
      treekill: false, // the bot stops its parts in order
      kill_timeout: 20000, // ms: quotes are withdrawn and the ledger is closed on SIGINT before PM2 kills
      max_memory_restart: "4G",
      time: true,
    },
  ],
};

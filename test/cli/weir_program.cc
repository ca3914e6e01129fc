#include "weir_program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/error.h"
#include "exec/process.h"
#include "exec/spawn.h"

namespace weir::test {
namespace {

constexpr Duration kPatience = std::chrono::minutes(5);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Pipe make_terminal() {
  winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) throw_errno("openpty");
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  ::fcntl(slave, F_SETFD, FD_CLOEXEC);
  return {UniqueFd(master), UniqueFd(slave)};
}

/// A file without a name: whatever its size, nobody has to write while the program reads.
UniqueFd input_file(std::string_view text) {
  UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  if (!file.valid()) throw_errno("memfd_create");
  while (!text.empty()) {
    const ssize_t wrote = ::write(file.get(), text.data(), text.size());
    if (wrote <= 0) throw_errno("write");
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

exec::Command command_for(const std::vector<std::string>& words, const WeirSetup& setup) {
  exec::Command command;
  command.argv = {weir_binary()};
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  command.env = {{"DATABASE_URL", std::nullopt},
                 {"NO_COLOR", std::nullopt},
                 {"PGPASSWORD", std::nullopt},
                 {"PGPASSFILE", "/dev/null"},
                 {"TERM", "xterm-256color"}};
  for (const auto& [name, value] : setup.env) command.env.insert_or_assign(name, value);
  command.cwd = setup.folder;
  return command;
}

/// False at the end of the stream; a terminal whose other side is closed says EIO.
bool read_some(UniqueFd& fd, std::string& text) {
  std::array<char, 4096> buffer{};
  const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
  if (got > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
  }
  if (got < 0 && errno == EINTR) return true;
  fd.reset();
  return false;
}

}  // namespace

std::string weir_binary() {
  const char* const chosen = std::getenv("WEIR_BINARY");
  return chosen != nullptr && *chosen != '\0' ? chosen : WEIR_DEFAULT_BINARY;
}

WeirProgram::WeirProgram(const std::vector<std::string>& words, const WeirSetup& setup) {
  Pipe out = setup.terminal ? make_terminal() : make_pipe();
  Pipe err = setup.terminal ? Pipe{} : make_pipe();
  const UniqueFd nothing = input_file(setup.input);
  const int in_end = setup.keyboard ? out.write.get() : nothing.get();
  const int err_end = setup.terminal ? out.write.get() : err.write.get();
  pid_ = exec::spawn_child(command_for(words, setup), {in_end, out.write.get(), err_end});
  out_fd_ = std::move(out.read);
  err_fd_ = std::move(err.read);
}

WeirProgram::~WeirProgram() {
  if (reaped_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void WeirProgram::type(std::string_view keys) const {
  if (::write(out_fd_.get(), keys.data(), keys.size()) != static_cast<ssize_t>(keys.size()))
    throw_errno("write");
}

void WeirProgram::signal(int number) const { ::kill(pid_, number); }

bool WeirProgram::take(Duration patience) {
  std::array<pollfd, 2> fds{{{out_fd_.get(), POLLIN, 0}, {err_fd_.get(), POLLIN, 0}}};
  if (!out_fd_.valid() && !err_fd_.valid()) return false;
  if (::poll(fds.data(), fds.size(), Deadline::after(patience).poll_timeout()) <= 0) return true;
  if (fds[0].revents != 0) read_some(out_fd_, out_);
  if (fds[1].revents != 0) read_some(err_fd_, err_);
  return true;
}

void WeirProgram::give_up(const std::string& what) const {
  throw std::runtime_error(what + "\nstandard output: " + out_ + "\nstandard error: " + err_);
}

std::string WeirProgram::wait_line(const std::string& stream, std::string_view text) {
  const Deadline deadline = Deadline::after(kPatience);
  for (;;) {
    const std::size_t at = stream.find(text);
    const std::size_t end = at == std::string::npos ? at : stream.find('\n', at);
    if (end != std::string::npos) {
      const std::size_t before = stream.rfind('\n', at);
      const std::size_t begin = before == std::string::npos ? 0 : before + 1;
      return stream.substr(begin, end - begin);
    }
    if (deadline.expired() || !take(std::chrono::seconds(1)))
      give_up("no line came with: " + std::string(text));
  }
}

std::string WeirProgram::wait_for(std::string_view text) { return wait_line(out_, text); }
std::string WeirProgram::wait_for_error(std::string_view text) { return wait_line(err_, text); }

int WeirProgram::wait_end() {
  const Deadline deadline = Deadline::after(kPatience);
  while (take(std::chrono::seconds(1))) {
    if (deadline.expired()) give_up("it does not end");
  }
  if (const auto process = exec::Process::find(pid_)) {
    if (process->wait_end(deadline, {}) != WaitEnd::ready) give_up("it does not end");
  }
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) throw_errno("waitpid");
  reaped_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

WeirResult run_weir(const std::vector<std::string>& words, const WeirSetup& setup) {
  WeirProgram program(words, setup);
  const int status = program.wait_end();
  return {status, program.out(), program.err()};
}

}  // namespace weir::test

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "load/read/byte_source.h"

namespace weir::load {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

std::string read_all(ByteSource& source, std::size_t room_size = 4096) {
  std::string all;
  std::string room(room_size, '\0');
  for (;;) {
    const std::size_t got = source.read(room);
    if (got == 0) return all;
    all.append(room, 0, got);
  }
}

std::string read_all(const Input& input) { return read_all(*input.open({})); }

/// What the exception says, or what was read.
template <class Work>
std::string said_by(const Work& work) {
  try {
    return "nothing: " + work();
  } catch (const Error& error) {
    return error.what();
  }
}

std::string gzip(const std::string& text) {
  z_stream zlib{};
  EXPECT_EQ(deflateInit2(&zlib, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&zlib, text.size()), '\0');
  std::string in = text;
  zlib.next_in = reinterpret_cast<Bytef*>(in.data());
  zlib.avail_in = static_cast<uInt>(in.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);  // as the program zstd does
  out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(context);
  return out;
}

/// A megabyte in which nothing repeats soon.
std::string long_text() {
  std::string text;
  for (std::uint32_t i = 0; text.size() < (1U << 20U); ++i) text += std::to_string(i * 2654435761U) + "\n";
  return text;
}

class LoadBytes : public ::testing::Test {
 protected:
  LoadBytes() {
    std::string name = (fs::temp_directory_path() / "weir-bytes-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~LoadBytes() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return (folder_ / name).string();
  }

  fs::path folder_;
};

TEST_F(LoadBytes, FilesAreFoundByNameOrByPatternAndSorted) {
  write("b.csv", "2");
  write("a.csv", "1");
  write("B.csv", "3");
  write("c[1].csv", "4");
  fs::create_directory(folder_ / "d.csv");
  std::string names;
  std::string bytes;
  for (const Input& input : file_inputs((folder_ / "?.csv").string())) {
    names += fs::path(input.name).filename().string() + " ";
    bytes += read_all(input);
    EXPECT_EQ(input.bytes, 1U);
  }
  EXPECT_EQ(names, "B.csv a.csv b.csv ");
  EXPECT_EQ(bytes, "312");
  EXPECT_EQ(file_inputs((folder_ / "c[1].csv").string()).size(), 1U)
      << "a file of that very name comes first";
  EXPECT_THROW(file_inputs((folder_ / "x*.csv").string()), Error);
  EXPECT_THROW(file_inputs((folder_ / "x.csv").string()), Error);
  EXPECT_THROW(file_inputs(folder_.string())[0].open({}), Error) << "a folder";
}

TEST_F(LoadBytes, CompressedFilesAreKnownByTheirFirstBytes) {
  const std::string text = long_text();
  const std::string tail = "the second";
  const std::string skipped = "\x50\x2A\x4D\x18\x03\0\0\0abc"s;
  for (const std::string& stored :
       {text + tail, gzip(text) + gzip(tail), gzip("") + gzip(text) + gzip(tail) + std::string(700, '\0'),
        zstd(text) + zstd(tail), skipped + zstd(text) + skipped + zstd(tail)}) {
    const std::string path = write("file", stored);
    const auto source = file_inputs(path)[0].open({});
    EXPECT_EQ(read_all(*source, 1000) == text + tail, true);
    EXPECT_EQ(source->progress().bytes, stored.size());
    EXPECT_EQ(source->progress().total, stored.size());
  }
}

TEST_F(LoadBytes, ACompressedFileThatBreaksOffOrIsDamagedIsAnError) {
  const std::string text = long_text();
  for (const std::string& stored : {gzip(text), zstd(text), gzip("x") + gzip(text), zstd("x") + zstd(text)}) {
    for (const std::size_t left :
         {stored.size() - 1, stored.size() - 5, stored.size() / 2, std::size_t{12}}) {
      const Input input = memory_input("it.gz", stored.substr(0, left));
      if (left == 12 && stored.size() < 20) continue;
      EXPECT_NE(said_by([&] { return read_all(input).substr(0, 10); }).find("breaks off"), std::string::npos)
          << left;
    }
    std::string damaged = stored;
    damaged[stored.size() / 2] = static_cast<char>(~damaged[stored.size() / 2]);
    const Input input = memory_input("it.gz", damaged + damaged);
    EXPECT_NE(said_by([&] { return read_all(input).substr(0, 10); }).find("is damaged"), std::string::npos);
  }
  EXPECT_NE(said_by([] { return read_all(memory_input("a", gzip("x") + "junk")); }).find("is damaged"),
            std::string::npos);
  EXPECT_EQ(said_by([] { return read_all(memory_input("a.xz", "\xFD\x37zXZ\0\0\0\0"s)); }),
            "a.xz holds xz data, which are not read here");
  EXPECT_EQ(said_by([] { return read_all(memory_input("a.csv", "BZh91AY&SY")); }),
            "a.csv holds bzip2 data, which are not read here");
}

TEST_F(LoadBytes, ANameThatPromisesCompressionIsHeldToIt) {
  const auto said = [&](const std::string& name, const std::string& bytes) {
    const std::string path = write(name, bytes);
    std::string what = said_by([&] { return read_all(file_inputs(path)[0]); });
    const std::size_t at = what.find(folder_.string() + "/");
    return at == std::string::npos ? what : what.erase(at, folder_.string().size() + 1);
  };
  EXPECT_EQ(said("x.csv.gz", "id,v\n1,2\n"), "x.csv.gz is no gzip file: its first bytes are 69 64 2c 76");
  EXPECT_EQ(said("x.csv.ZST", "<"), "x.csv.ZST is no zstd file: its first bytes are 3c");
  EXPECT_EQ(said("x.csv.zstd", "id\n"), "x.csv.zstd is no zstd file: its first bytes are 69 64 0a");
  EXPECT_EQ(said("empty.gz", ""), "empty.gz is no gzip file: it is empty");
  EXPECT_EQ(said("x.csv.gz", gzip("a")), "nothing: a");
  EXPECT_EQ(said("x.csv.gz", zstd("a")), "nothing: a") << "the bytes tell which one";
  EXPECT_EQ(said("x.csv", gzip("a")), "nothing: a");
  EXPECT_EQ(said("gz", "a"), "nothing: a");
  const std::string plain = write("y.gz", "plain");
  exec::Command command;
  command.argv = {"cat", plain};
  EXPECT_EQ(read_all(command_input(std::move(command))), "plain") << "as zcat writes it";
}

exec::Command shell(const std::string& script) {
  exec::Command command;
  command.argv = {"/bin/sh", "-c", script};
  return command;
}

TEST_F(LoadBytes, ACommandsOutputEndsCleanlyOnlyIfTheCommandDoes) {
  EXPECT_EQ(read_all(command_input(shell("printf one; printf two >&2; printf three"))), "onethree");
  EXPECT_EQ(read_all(command_input(shell(""))), "");
  std::string before;
  const auto source =
      command_input(shell("printf 'some data here'; echo 'no such table' >&2; exit 3")).open({});
  EXPECT_EQ(said_by([&] { return before = read_all(*source); }),
            "the command '/bin/sh -c printf 'some data here'; echo 'no such table' >&2; exit 3' failed with "
            "exit status "
            "3 after 14 bytes");
  EXPECT_NE(said_by([] { return read_all(command_input(shell("kill -9 $$"))); }).find("signal 9"),
            std::string::npos);
  EXPECT_THROW(command_input(shell("exit 1")).open({}), Error) << "also where it has written nothing";
}

TEST_F(LoadBytes, ACommandMayComplainAtLengthAndLeaveOthersBehind) {
  EXPECT_EQ(read_all(command_input(shell("head -c 300000 /dev/zero >&2; printf done; sleep 1000 &"))),
            "done");
}

TEST_F(LoadBytes, AStopEndsTheWaitForACommandAndForAPipe) {
  std::stop_source stop;
  const auto command =
      command_input(shell("echo a line that is long; exec sleep 1000")).open(stop.get_token());
  std::array<char, 100> room{};
  EXPECT_GT(command->read(room), 0U);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd writer(ends[1]);
  const auto pipe = open_descriptor(UniqueFd(ends[0]), "the pipe", stop.get_token());
  const std::string fifo = (folder_ / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);

  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(said_by([&] { return read_all(*command); }),
            "stopped while reading from the command '/bin/sh -c echo a line that is long; exec sleep 1000'");
  EXPECT_EQ(said_by([&] { return read_all(*pipe); }), "stopped while reading the pipe");
  EXPECT_EQ(said_by([&] { return read_all(*file_inputs(fifo)[0].open(stop.get_token())); }),
            "stopped while reading " + fifo);
}

TEST_F(LoadBytes, ANamedPipeIsReadToTheEndOfItsWriter) {
  const std::string fifo = (folder_ / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const std::jthread writer([&] { std::ofstream(fifo) << "from the other side"; });
  EXPECT_EQ(read_all(file_inputs(fifo)[0]), "from the other side");
}

TEST_F(LoadBytes, TextOfOtherEncodingsBecomesUtf8) {
  const auto convert = [](const std::string& bytes, const std::string& encoding) {
    return read_all(*transcoded(memory_source(bytes), encoding, "it"), 3);
  };
  EXPECT_EQ(convert("a\0\xE9\0\x3D\xD8\xA7\xDC"s, "utf-16le"), "aé💧");
  EXPECT_EQ(convert("\0a\0\xE9"s, "UTF-16BE"), "aé");
  EXPECT_EQ(convert("\x80\xE9", "windows-1252"), "€é");
  EXPECT_EQ(convert("\xE9", "latin1"), "é");
  EXPECT_EQ(convert("\xFF", "utf8"), "\xFF") << "as it is";
  EXPECT_EQ(convert("a\0\x3D\xD8\x62\0c"s, "utf-16le"), "a\xFF"s + "b\xFF")
      << "half of a pair, and half of a unit";
  EXPECT_EQ(said_by([&] { return convert("", "klingon"); }),
            "it: no conversion from the encoding 'klingon' is known here");
  std::string euros(300000, '\x80');
  EXPECT_EQ(convert(euros, "cp1252").size(), 3 * euros.size());
}

}  // namespace
}  // namespace weir::load

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "exec/user.h"

namespace weir::embedded {

/// "cannot <what> <path>: <what errno says>", with what to do about the usual causes.
[[noreturn]] void throw_file_error(const char* what, const std::filesystem::path& path, int error_number,
                                   ExitCode code = ExitCode::database);

/// Makes the folder with mode 0700 for `owner` (nothing: us), or takes the one that is there. It is found and
/// made with the rights of `maker` (nothing: the calling thread's) and given away only if it is the maker's,
/// so root makes one in a stranger's folder and takes nothing that a link leads to. Refuses a symbolic link
/// and a folder that belongs to anybody else, so it is safe in a folder where everybody may write.
void make_private_folder(const std::filesystem::path& folder, const std::optional<exec::User>& maker,
                         const std::optional<exec::User>& owner);

/// Nothing when there is no such file. Throws for one of more than 1 MiB, which is none of the server's.
std::optional<std::string> read_small_file(const std::filesystem::path& file);

/// Replaces the file as a whole: a reader and a crash see the old text or the new one.
void write_file(const std::filesystem::path& file, std::string_view text, bool durable);

/// Makes names in `folder` survive a crash of the machine.
void sync_folder(const std::filesystem::path& folder);

}  // namespace weir::embedded

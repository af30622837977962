#include "cli/options.h"

#include "cli/parse.h"

namespace shmd::cli {
namespace {

void AddBackendOptions(CLI::App& app, SegmentSpec* spec) {
  AddParsed(app, "--backend",
            "memfd (default), posix, sysv or mapped_file; follows from the "
            "three below",
            ParseBackend, [spec](BackendKind kind) { spec->backend = kind; })
      ->type_name("{memfd,posix,sysv,mapped_file}");
  app.add_option_function<std::string>(
         "--posix_name",
         [spec](const std::string& name) {
           spec->backend = BackendKind::kPosix;
           spec->posix_name = name;
         },
         "name for shm_open(3), with its slash")
      ->trigger_on_parse();
  AddParsed(app, "--sysv_key", "key for shmget(2), as 0x44", ParseSysvKey,
            [spec](uint32_t key) {
              spec->backend = BackendKind::kSysv;
              spec->sysv_key = key;
            });
  app.add_option_function<std::string>(
         "--file_path",
         [spec](const std::string& path) {
           spec->backend = BackendKind::kMappedFile;
           spec->file_path = path;
         },
         "file below a root of the daemon")
      ->trigger_on_parse();
}

void AddMemoryOptions(CLI::App& app, SegmentSpec* spec) {
  AddParsed(app, "--page_size", "2MiB or 1GiB for huge pages", ParseSize,
            [spec](uint64_t bytes) { spec->page_size_bytes = bytes; });
  auto* lazy = app.add_flag_callback(
      "--lazy", [spec] { spec->allocation = Allocation::kLazy; },
      "pages appear at first touch");
  app.add_flag_callback(
         "--reserved", [spec] { spec->allocation = Allocation::kReserved; },
         "pages exist before the reply")
      ->excludes(lazy);
  app.add_flag("--populate", spec->populate,
               "the daemon touches every page first");
  app.add_flag("--lock", spec->lock_in_memory, "keep the pages in memory");
  app.add_flag("--resizable", spec->resizable, "allow `shm resize` later");
  app.add_flag("--revocable", spec->revocable,
               "allow `shm rm --revoke_memory` later; programs must agree to "
               "map it");
  AddParsed(app, "--numa", "bind:0, interleave:0,1 or preferred:0", ParseNuma,
            [spec](NumaPolicy policy) { spec->numa = std::move(policy); });
  auto* wanted = app.add_flag_callback(
      "--thp", [spec] { spec->huge_page_advice = HugePageAdvice::kWanted; },
      "ask for transparent huge pages");
  app.add_flag_callback(
         "--no_thp",
         [spec] { spec->huge_page_advice = HugePageAdvice::kUnwanted; },
         "ask for no transparent huge pages")
      ->excludes(wanted);
  app.add_flag_callback(
      "--never_sealed",
      [spec] { spec->seal_policy = SealPolicy::kNeverSealed; },
      "nobody can seal it later");
}

}  // namespace

std::function<std::string(const std::string&)> NoStandardStream(
    const std::string& instead) {
  return [instead](const std::string& file) {
    return file == "-" ? instead + "; a file of that name is ./-"
                       : std::string();
  };
}

void AddLabelOption(CLI::App& app, std::map<std::string, std::string>* labels) {
  AddParsed(app, "--label", "KEY=VALUE; may be repeated", ParseLabel,
            [labels](std::pair<std::string, std::string> label) {
              (*labels)[label.first] = label.second;
            });
}

void AddTtlOption(CLI::App& app, const std::string& what,
                  std::optional<absl::Duration>* ttl) {
  AddParsed(app, "--ttl", what + " after this long, as 90s or 2h", ParseTtl,
            [ttl](absl::Duration duration) { *ttl = duration; });
}

void AddSpecOptions(CLI::App& app, SegmentSpec* spec) {
  AddParsed(app, "--size,-s", "size: 4096, 4k, 64MiB, 1G", ParseSize,
            [spec](uint64_t bytes) { spec->size_bytes = bytes; });
  AddBackendOptions(app, spec);
  AddParsed(app, "--mode", "permission bits in octal (default 600)", ParseMode,
            [spec](uint32_t mode) { spec->mode = mode; });
  app.add_option("--owner", spec->owner, "uid of the owner");
  app.add_option("--group", spec->group, "gid of the group");
  AddLabelOption(app, &spec->labels);
  AddTtlOption(app, "removed by itself", &spec->ttl);
  AddMemoryOptions(app, spec);
  app.add_option("--request_id", spec->request_id,
                 "the same id twice creates one segment");
}

}  // namespace shmd::cli

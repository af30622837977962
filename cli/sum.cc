#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

constexpr uint64_t kChunkBytes = 4 << 20;

// SHA-256 of the mapping, in hexadecimal. Reads in place where nobody can
// shrink the object, and through a guarded copy elsewhere.
absl::StatusOr<std::string> Digest(const ReadOnlyAttached& mapping) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(
      EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool hashed = hash != nullptr &&
                EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1;
  const bool guarded = !mapping.cannot_shrink();
  std::vector<char> copy(guarded ? kChunkBytes : 0);
  ProgressBar bar;
  const uint64_t total = mapping.size_bytes();
  for (uint64_t done = 0; hashed && done < total;) {
    const uint64_t count = std::min(total - done, kChunkBytes);
    const char* data = mapping.bytes().data() + done;
    if (guarded) {
      RETURN_IF_ERROR(mapping.Read(done, absl::MakeSpan(copy.data(), count)));
      data = copy.data();
    }
    hashed = EVP_DigestUpdate(hash.get(), data, count) == 1;
    done += count;
    bar.Update(done, total);
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (!hashed || EVP_DigestFinal_ex(hash.get(), digest, &size) != 1) {
    return absl::InternalError("libcrypto could not compute SHA-256");
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

absl::Status RunSum(Context& context, const std::string& segment) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::string handle, ResolveHandle(*client, segment));
  ASSIGN_OR_RETURN(const ReadOnlyAttached mapping, client->MapReadOnly(handle));
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(const std::string digest, Digest(mapping));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const double rate =
      static_cast<double>(mapping.size_bytes()) / std::max(seconds, 1e-9);
  if (context.json) {
    nlohmann::ordered_json out;
    out["sha256"] = digest;
    out["name"] = mapping.segment_name();
    out["size_bytes"] = mapping.size_bytes();
    out["seconds"] = seconds;
    out["bytes_per_second"] = rate;
    printf("%s\n", ToText(out).c_str());
  } else {
    printf("%s  %s\n  SHA-256 of %s in %.3f s: %.2f GB/s\n", digest.c_str(),
           mapping.segment_name().c_str(),
           HumanSize(mapping.size_bytes()).c_str(), seconds, rate / 1e9);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSum(CLI::App& app, Context& context) {
  auto segment = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand(
      "sum", "Compute SHA-256 over a segment's mapping, and the rate");
  verb.add_option("segment", *segment, "name or handle")->required();
  verb.callback(
      [segment, &context] { context.status = RunSum(context, *segment); });
}

}  // namespace shmd::cli

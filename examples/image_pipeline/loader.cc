// Decodes the PNG files below some folders, each straight into the memory of an
// object: nothing is copied. Puts their count when all of them are there.
//
//   loader FOLDER...
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "examples/image_pipeline/tensor.h"

namespace image_pipeline {
namespace {

std::vector<std::string> FindImages(int count, char** folders) {
  std::vector<std::string> files;
  for (int i = 0; i < count; ++i) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folders[i])) {
      if (entry.path().extension() == ".png") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Its size in bytes.
absl::StatusOr<uint64_t> Load(shmd::ObjectStore& store, const std::string& file,
                              size_t number) {
  png_image header = {};
  header.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_file(&header, file.c_str())) {
    return absl::DataLossError(absl::StrCat(file, ": ", header.message));
  }
  header.format = PNG_FORMAT_RGB;
  shmd::ObjectOptions options;
  options.metadata = ImageMetadata(header.height, header.width);
  options.metadata->labels["file"] = file;
  absl::StatusOr<shmd::ObjectDraft> draft = store.Create(
      absl::StrCat(kImagePrefix, number), PNG_IMAGE_SIZE(header), options);
  if (!draft.ok()) {
    png_image_free(&header);
    return draft.status();
  }
  // What is transparent shows white.
  const png_color white = {255, 255, 255};
  if (!png_image_finish_read(&header, &white, draft->span().data(),
                             /*row_stride=*/0, /*colormap=*/nullptr)) {
    return absl::DataLossError(absl::StrCat(file, ": ", header.message));
  }
  const absl::StatusOr<uint64_t> sealed = draft->Seal();
  if (!sealed.ok()) return sealed.status();
  return draft->span().size();
}

absl::Status Run(int count, char** folders) {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<shmd::ObjectStore> store = shmd::ObjectStore::Open(*client);
  if (!store.ok()) return store.status();
  const std::vector<std::string> files = FindImages(count, folders);
  const absl::Time start = absl::Now();
  uint64_t bytes = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const absl::StatusOr<uint64_t> loaded = Load(*store, files[i], i);
    if (!loaded.ok()) return loaded.status();
    bytes += *loaded;
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const std::string text = absl::StrCat(files.size());
  const absl::StatusOr<uint64_t> put =
      store->Put(kCount, absl::MakeConstSpan(text));
  if (!put.ok()) return put.status();
  printf("loaded %zu images, %.1f MB, %.0f a second\n", files.size(),
         static_cast<double>(bytes) / 1e6,
         static_cast<double>(files.size()) / seconds);
  return absl::OkStatus();
}

}  // namespace
}  // namespace image_pipeline

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: loader FOLDER...\n");
    return 2;
  }
  const absl::Status status = image_pipeline::Run(argc - 1, argv + 1);
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

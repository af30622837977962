// One of WORKERS: makes thumbnail and histogram of every image that falls to
// it, in place, as the images come. A watch tells of them; that they are there
// already when it begins makes no difference.
//
//   worker NUMBER WORKERS
#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/object_watch.h"
#include "examples/image_pipeline/tensor.h"

namespace image_pipeline {
namespace {

class Worker {
 public:
  Worker(shmd::ObjectStore* store, int number, int workers)
      : store_(store), number_(number), workers_(workers) {}

  // Whether there will be more for this worker; or an error.
  absl::StatusOr<bool> Take(const std::string& id) {
    if (id == kCount) {
      const absl::StatusOr<shmd::PinnedObject> count = store_->Get(id);
      if (!count.ok()) return count.status();
      int images = 0;
      if (!absl::SimpleAtoi(
              absl::string_view(count->data(), count->size_bytes()), &images)) {
        return absl::DataLossError("the count is no number");
      }
      // Of every `workers_` images one, from number_ on.
      mine_ = (images - number_ + workers_ - 1) / workers_;
    }
    const int image = NumberOf(id, kImagePrefix);
    if (image >= 0 && image % workers_ == number_) {
      const absl::Status status = Work(image);
      if (!status.ok()) return status;
      ++done_;
    }
    return done_ != mine_;
  }

  int done() const { return done_; }

 private:
  absl::Status Work(int number) {
    const absl::StatusOr<shmd::PinnedObject> object =
        store_->Get(absl::StrCat(kImagePrefix, number));
    if (!object.ok()) return object.status();
    const absl::StatusOr<Image> image = ImageOf(*object);
    if (!image.ok()) return image.status();
    shmd::ObjectOptions options;
    const uint64_t height = ThumbnailSide(image->height);
    const uint64_t width = ThumbnailSide(image->width);
    options.metadata = ImageMetadata(height, width);
    absl::StatusOr<shmd::ObjectDraft> thumbnail =
        store_->Create(absl::StrCat(kThumbnailPrefix, number),
                       height * width * kChannels, options);
    if (!thumbnail.ok()) return thumbnail.status();
    // SAFETY: bytes.
    MakeThumbnail(*image, reinterpret_cast<uint8_t*>(thumbnail->span().data()));
    options.metadata->dtype = "uint64";
    options.metadata->shape = {kChannels, kLevels};
    absl::StatusOr<shmd::ObjectDraft> histogram =
        store_->Create(absl::StrCat(kHistogramPrefix, number),
                       kChannels * kLevels * sizeof(uint64_t), options);
    if (!histogram.ok()) return histogram.status();
    // SAFETY: objects begin at multiples of 64 bytes.
    MakeHistogram(*image,
                  reinterpret_cast<uint64_t*>(histogram->span().data()));
    const absl::StatusOr<uint64_t> sealed = thumbnail->Seal();
    return sealed.ok() ? histogram->Seal().status() : sealed.status();
  }

  shmd::ObjectStore* const store_;
  const int number_;
  const int workers_;
  int done_ = 0;
  int mine_ = -1;  // not known yet
};

absl::Status Run(int number, int workers) {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<shmd::ObjectStore> store = shmd::ObjectStore::Open(*client);
  if (!store.ok()) return store.status();
  Worker worker(&*store, number, workers);
  absl::Status failed;
  const absl::Status watched =
      client->WatchObjects({}, [&](const shmd::ObjectWatchEvent& event) {
        if (!event.object.has_value()) return true;
        const absl::StatusOr<bool> more = worker.Take(event.object->id);
        failed = more.status();
        return more.ok() && *more;
      });
  if (!failed.ok()) return failed;
  if (!watched.ok()) return watched;
  printf("worked on %d images\n", worker.done());
  return absl::OkStatus();
}

}  // namespace
}  // namespace image_pipeline

int main(int argc, char** argv) {
  int number = 0;
  int workers = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[1], &number) ||
      !absl::SimpleAtoi(argv[2], &workers) || number < 0 || number >= workers) {
    fprintf(stderr, "usage: worker NUMBER WORKERS\n");
    return 2;
  }
  const absl::Status status = image_pipeline::Run(number, workers);
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

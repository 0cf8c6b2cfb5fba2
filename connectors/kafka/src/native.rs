//! The few calls into librdkafka that rdkafka's safe interface lacks or that can panic or block in
//! it. All `unsafe` of this crate is here.
//!
//! | what | why not the safe call |
//! |---|---|
//! | [`Records`]: one queue for the records of all partitions, apart from the consumer's own | rdkafka offers the consumer's queue, in which rebalances wait behind records, or a queue for each partition, to each of which librdkafka's memory limit then applies anew |
//! | [`Commits`]: a commit whose answer comes through a queue | `commit(Sync)` waits without limit on a broker that hangs, and `commit(Async)` does not say which commit an answer belongs to, nor what became of each partition |
//! | [`Record::headers`], [`entries`] | rdkafka panics if a header's name or a commit's metadata is not UTF-8, which anybody may have written |
//! | [`watermarks`] | rdkafka only asks the broker; this is what the last fetch said |
//!
//! Codes of errors are read as integers, since one that the bindings don't know would not be a
//! valid value of their enum.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_void},
    fmt,
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    task::Waker,
};

use rdkafka::{
    TopicPartitionList,
    bindings::{self as sys, rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_t},
    client::ClientContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
};

/// A queue that belongs to a client, and that wakes somebody when something is put into it while it
/// is empty.
struct Queue<C: ConsumerContext> {
    queue: NonNull<rd_kafka_queue_t>,
    /// What librdkafka's callback gets; lives as long as the callback is registered.
    _wake: Box<Waker>,
    /// The client must outlive its queues.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues can be used from any thread, and nothing else in here is bound to
// one.
unsafe impl<C: ConsumerContext> Send for Queue<C> {}

impl<C: ConsumerContext> Queue<C> {
    fn new(consumer: Arc<BaseConsumer<C>>, wake: Waker) -> Option<Self> {
        let wake = Box::new(wake);
        // SAFETY: the client lives as long as the queue. The callback's argument is the boxed
        // waker, which does not move, and is freed only after `drop` has unregistered the callback
        // (librdkafka calls it under the queue's lock, which unregistering takes). A waker can be
        // used from any thread.
        unsafe {
            let queue = NonNull::new(sys::rd_kafka_queue_new(client(&consumer)))?;
            let argument = ptr::from_ref::<Waker>(&wake).cast_mut().cast::<c_void>();
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(call_waker), argument);
            Some(Self {
                queue,
                _wake: wake,
                consumer,
            })
        }
    }
}

impl<C: ConsumerContext> Drop for Queue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours, and not used after this. Queues that forward to it, and
        // answers on their way to it, hold references of their own.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Called on librdkafka's threads.
unsafe extern "C" fn call_waker(_: *mut rd_kafka_t, waker: *mut c_void) {
    // SAFETY: registered with a pointer to a `Waker` that outlives the registration.
    unsafe { (*waker.cast::<Waker>()).wake_by_ref() }
}

fn client<C: ClientContext + ConsumerContext>(consumer: &BaseConsumer<C>) -> *mut rd_kafka_t {
    consumer.client().native_ptr()
}

/// The records of all assigned partitions. Keeps the consumer alive: whoever drops it last must be
/// its thread.
pub(crate) struct Records<C: ConsumerContext>(Queue<C>);

impl<C: ConsumerContext> fmt::Debug for Records<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

impl<C: ConsumerContext> Records<C> {
    /// The queue; `wake` is woken whenever it becomes non-empty.
    pub(crate) fn new(consumer: Arc<BaseConsumer<C>>, wake: Waker) -> Option<Self> {
        Queue::new(consumer, wake).map(Self)
    }

    /// Where a partition stands: see [`watermarks`].
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> Option<(u64, u64)> {
        watermarks(&self.0.consumer, topic, partition)
    }

    /// Takes a partition's records off the consumer's queue. Needed before each assignment of it,
    /// since librdkafka undoes it when the assignment ends. Says whether it worked.
    pub(crate) fn adopt(&self, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else {
            return false;
        };
        // SAFETY: the client outlives self; the reference to the partition's queue is given back.
        unsafe {
            let from = sys::rd_kafka_queue_get_partition(
                client(&self.0.consumer),
                topic.as_ptr(),
                partition,
            );
            let Some(from) = NonNull::new(from) else {
                return false;
            };
            sys::rd_kafka_queue_forward(from.as_ptr(), self.0.queue.as_ptr());
            sys::rd_kafka_queue_destroy(from.as_ptr());
        }
        true
    }

    /// The next record or error that is there. Doesn't wait.
    ///
    /// Not `rd_kafka_consume_batch_queue`, though it is cheaper: of an error (the end of a
    /// partition is one, too) it notes that the record at its offset has been read. When librdkafka
    /// next pauses the partition, as it does in every rebalance, it goes on behind that record,
    /// which then is lost.
    pub(crate) fn pop(&self) -> Option<Record<'_>> {
        // SAFETY: the queue is ours; the message is, too, until the record is dropped.
        let message = unsafe { sys::rd_kafka_consume_queue(self.0.queue.as_ptr(), 0) };
        Some(Record {
            message: NonNull::new(message)?,
            _life: PhantomData,
        })
    }
}

/// A record, or an error about a partition, while it is still librdkafka's memory.
pub(crate) struct Record<'a> {
    message: NonNull<rd_kafka_message_t>,
    _life: PhantomData<&'a ()>,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        // SAFETY: the message came from librdkafka, is ours, and nothing borrowed from it is left.
        unsafe { sys::rd_kafka_message_destroy(self.message.as_ptr()) }
    }
}

impl Record<'_> {
    /// The error, 0 if it is a record.
    pub(crate) fn code(&self) -> i32 {
        // SAFETY: a live message. The field is an enum of representation i32 and is not read as
        // such.
        unsafe {
            ptr::addr_of!((*self.message.as_ptr()).err)
                .cast::<i32>()
                .read()
        }
    }

    /// What librdkafka says about the error.
    pub(crate) fn reason(&self) -> String {
        // SAFETY: a live message; the text, if any, lives as long.
        unsafe { text(sys::rd_kafka_message_errstr(self.message.as_ptr())) }
    }

    /// The same for all records of a topic that are alive.
    pub(crate) fn topic_handle(&self) -> usize {
        // SAFETY: a live message.
        unsafe { (*self.message.as_ptr()).rkt as usize }
    }

    /// The topic's name; empty if an error is about none.
    pub(crate) fn topic(&self) -> String {
        // SAFETY: a live message holds its topic; null is checked.
        unsafe {
            let topic = (*self.message.as_ptr()).rkt;
            if topic.is_null() {
                String::new()
            } else {
                text(sys::rd_kafka_topic_name(topic))
            }
        }
    }

    /// The number of its partition.
    pub(crate) fn partition(&self) -> i32 {
        // SAFETY: a live message.
        unsafe { (*self.message.as_ptr()).partition }
    }

    /// Of a record its offset; of an error where it occurred. Negative if there is none.
    pub(crate) fn offset(&self) -> i64 {
        // SAFETY: a live message.
        unsafe { (*self.message.as_ptr()).offset }
    }

    /// `None` if the record has no key; an empty one is `Some`.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: a live message; key and length belong together, and live as long.
        unsafe {
            bytes(
                (*self.message.as_ptr()).key,
                (*self.message.as_ptr()).key_len,
            )
        }
    }

    /// `None` is a tombstone.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        // SAFETY: a live message, and it is a record: with an error the payload would be the
        // reason, which is bytes as well.
        unsafe {
            bytes(
                (*self.message.as_ptr()).payload,
                (*self.message.as_ptr()).len,
            )
        }
    }

    /// Milliseconds since 1970, if there is one.
    pub(crate) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: a live message, and a place for the kind.
        let millis =
            unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        let none = kind == sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (!none && millis >= 0).then_some(millis)
    }

    /// The headers in their order; names can repeat and be anything, values can be absent.
    pub(crate) fn headers(&self) -> Headers<'_> {
        let mut headers = ptr::null_mut();
        // SAFETY: a live message, and a place for the pointer, which is set only on success and
        // lives as long.
        unsafe {
            // Anything but success, no headers above all, leaves the pointer null.
            let _ = sys::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers);
            let left = if headers.is_null() {
                0
            } else {
                sys::rd_kafka_header_cnt(headers)
            };
            Headers {
                headers,
                next: 0,
                left,
                _life: PhantomData,
            }
        }
    }
}

/// See [`Record::headers`].
#[derive(Clone)]
pub(crate) struct Headers<'a> {
    headers: *const sys::rd_kafka_headers_t,
    next: usize,
    left: usize,
    _life: PhantomData<&'a ()>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let (mut name, mut value, mut size) = (ptr::null::<c_char>(), ptr::null(), 0);
        // SAFETY: the headers live for 'a (and are not null, since some are left), the places are
        // ours, and an index beyond the end is answered by an error, which leaves the name null.
        unsafe {
            let _ = sys::rd_kafka_header_get_all(
                self.headers,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            self.next += 1;
            if name.is_null() {
                return None;
            }
            Some((CStr::from_ptr(name).to_bytes(), bytes(value, size)))
        }
    }
}

/// # Safety
/// `start` is null or the start of `length` readable bytes that live for 'a.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// # Safety
/// `start` is null or a string that ends in a zero byte.
unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: as promised.
    unsafe { CStr::from_ptr(start) }
        .to_string_lossy()
        .into_owned()
}

/// The way to commit, and the answers.
pub(crate) struct Commits<C: ConsumerContext>(Queue<C>);

/// The answer to a commit.
/// Kafka's OffsetCommit answers by partition; librdkafka sets `code` to that of one that failed.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The whole request's error, 0 if none.
    pub(crate) code: i32,
    /// Its partitions, each with an error of its own.
    pub(crate) entries: Vec<Entry>,
}

/// A line of a list of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Negative values have meanings of their own.
    pub(crate) offset: i64,
    pub(crate) metadata: Vec<u8>,
    /// 0 if there is no error.
    pub(crate) code: i32,
}

impl<C: ConsumerContext> Commits<C> {
    /// The way to commit; `wake` is woken when an answer is there.
    pub(crate) fn new(consumer: Arc<BaseConsumer<C>>, wake: Waker) -> Option<Self> {
        Queue::new(consumer, wake).map(Self)
    }

    /// Sends positions to the broker without waiting. An `Err` means that there will be no answer.
    ///
    /// The answer comes through the queue, and may come never if the broker never does: librdkafka
    /// repeats the request. The caller must bound its own wait.
    pub(crate) fn submit(&self, offsets: &TopicPartitionList) -> Result<(), i32> {
        // SAFETY: the client and the queue outlive the call, the list is copied by it, no callback
        // is given.
        let error = unsafe {
            let (client, queue) = (client(&self.0.consumer), self.0.queue.as_ptr());
            sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut())
        };
        if error as i32 == 0 {
            Ok(())
        } else {
            Err(error as i32)
        }
    }

    /// The next answer that is there. They come in the order of the commits.
    pub(crate) fn answer(&self) -> Option<Answer> {
        loop {
            // SAFETY: an event is ours until destroyed, once, below; its list lives as long as the
            // event.
            unsafe {
                let event = NonNull::new(sys::rd_kafka_queue_poll(self.0.queue.as_ptr(), 0))?;
                let event = event.as_ptr();
                let answer = (sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_OFFSET_COMMIT)
                    .then(|| Answer {
                        code: sys::rd_kafka_event_error(event) as i32,
                        entries: read_list(sys::rd_kafka_event_topic_partition_list(event)),
                    });
                sys::rd_kafka_event_destroy(event);
                if answer.is_some() {
                    return answer;
                }
            }
        }
    }
}

/// The lines of a list.
/// Not rdkafka's `elements()`: that panics on metadata that is not UTF-8.
pub(crate) fn entries(list: &TopicPartitionList) -> Vec<Entry> {
    // SAFETY: the list lives during the call.
    unsafe { read_list(list.ptr()) }
}

/// # Safety
/// `list` is null or a list that lives during the call.
unsafe fn read_list(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `cnt` lines from `elems` on, each with a topic's name and perhaps metadata
    // of its size. A line is only read through its address, since its error may not be a valid
    // value of the enum.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count)
            .map(|at| {
                let line = (*list).elems.add(at);
                Entry {
                    topic: text((*line).topic),
                    partition: (*line).partition,
                    offset: (*line).offset,
                    metadata: bytes((*line).metadata, (*line).metadata_size)
                        .unwrap_or_default()
                        .to_vec(),
                    code: ptr::addr_of!((*line).err).cast::<i32>().read(),
                }
            })
            .collect()
    }
}

/// The lowest offset and the high watermark of a partition as the last fetch said them. `None`
/// until there was one.
/// Never blocks: read from librdkafka's memory.
pub(crate) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<(u64, u64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives during the call, the name ends in a zero byte, the places are ours.
    let error = unsafe {
        let (low, high) = (&raw mut low, &raw mut high);
        sys::rd_kafka_get_watermark_offsets(client(consumer), topic.as_ptr(), partition, low, high)
    };
    let known = error as i32 == 0;
    known
        .then(|| Some((u64::try_from(low).ok()?, u64::try_from(high).ok()?)))
        .flatten()
}
